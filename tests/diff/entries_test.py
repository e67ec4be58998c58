"""image_diff tells which entries of layers differ, in what, and in which order."""

from __future__ import annotations

import io
import random
import tarfile

from diff_runs import ADMIN, NET, run, write_file  # noqa: F401 (run is a fixture)

from rules_setcap.diagnostics import limits
from support.image import layout, tar


def test_the_formats_of_tar_differ_in_their_encoding_only(tmp_path, run):
    paths = []
    for name, kind in (("gnu", tarfile.GNU_FORMAT), ("pax", tarfile.PAX_FORMAT), ("ustar", tarfile.USTAR_FORMAT)):
        paths.append(tmp_path / f"{name}.tar")
        with tarfile.open(paths[-1], "w", format=kind) as archive:
            for path in ("usr/bin/x", "usr/" + "d" * 90 + "/" + "e" * 90):
                entry = tarfile.TarInfo(path)
                entry.size, entry.mtime = 3, 1_700_000_000
                archive.addfile(entry, io.BytesIO(b"abc"))
    for before in paths:
        for after in paths:
            result = run(before, after)
            assert result.verdict in (("same",) if before == after else ("differs: encoding, in layer 1 of 1",)), result.output
    assert 'magic  "ustar  " -> "ustar\\u000000"' in run(paths[0], paths[1]).output


def test_names_in_other_forms_are_the_same_path(tmp_path, run):
    paths = []
    for number, prefix in enumerate(("", "./", "/")):
        paths.append(tmp_path / f"{number}.tar")
        with tarfile.open(paths[-1], "w") as archive:
            archive.addfile(tarfile.TarInfo(f"{prefix}usr/x"))
    result = run(paths[0], paths[1])
    assert result.verdict == "differs: encoding, in layer 1 of 1"
    assert '/usr/x  name  "usr/x" -> "./usr/x"' in result.output


def test_an_entry_that_is_there_twice_is_compared_in_order(tmp_path, run):
    one, two, three = ("/a", None, "1"), ("/a", None, "2"), ("/a", None, "3")
    first = write_file(tmp_path / "a.tar", tar(one, two, ("/b", None, "file")))
    assert run(first, write_file(tmp_path / "b.tar", tar(one, three, ("/b", None, "file")))).verdict.startswith(
        "differs: content"
    )
    result = run(first, write_file(tmp_path / "c.tar", tar(one, ("/b", None, "file"), two)))
    assert result.verdict == "differs: order, in layer 1 of 1"
    result = run(first, write_file(tmp_path / "d.tar", tar(one, two, ("/b", None, "file"), three)))
    assert result.verdict == "differs: entries, in layer 1 of 1"


def test_reversed_entries_differ_in_order_only(tmp_path, run):
    entries = [(f"/{number:03}", None, f"{number}") for number in range(200)]
    paths = [write_file(tmp_path / "a.tar", tar(*entries)), write_file(tmp_path / "b.tar", tar(*entries[::-1]))]
    result = run(*paths)
    assert (result.status, result.verdict) == (1, "differs: order, in layer 1 of 1")
    assert "sorted by path -> not sorted" in result.output
    shuffled = random.Random(1).sample(entries, len(entries))
    assert run(paths[0], write_file(tmp_path / "c.tar", tar(*shuffled))).verdict == "differs: order, in layer 1 of 1"


def test_a_renamed_file_is_named(tmp_path, run):
    before = write_file(tmp_path / "a.tar", tar(("/a", None, "same content"), ("/c", None, "c")))
    after = write_file(tmp_path / "b.tar", tar(("/b", None, "same content"), ("/c", None, "c")))
    result = run(before, after)
    assert result.verdict == "differs: entries, in layer 1 of 1"
    assert "has the content of /a, which only the first layer has" in result.output


def test_bytes_that_no_entry_has_are_reported(tmp_path, run):
    plain = tar(("/a", None, "x"))
    headers = []
    for comment in ("one", "two"):
        made = io.BytesIO()
        with tarfile.open(fileobj=made, mode="w", format=tarfile.PAX_FORMAT, pax_headers={"comment": comment}):
            pass
        headers.append(made.getvalue()[:1024])
    end = plain.rstrip(b"\0")
    entries = end + bytes(-len(end) % 512)
    paths = [write_file(tmp_path / f"{number}.tar", entries + header + bytes(1024)) for number, header in enumerate(headers)]
    result = run(*paths)
    assert result.verdict == "differs: encoding, in layer 1 of 1"
    assert "the tars differ at byte" in result.output
    result = run(write_file(tmp_path / "c.tar", headers[0] + plain), write_file(tmp_path / "d.tar", headers[1] + plain))
    assert result.verdict == "differs: encoding, in layer 1 of 1"
    assert "a global pax header" in result.output and "comment=two" in result.output


def test_too_many_displaced_entries_are_refused(tmp_path, run, monkeypatch):
    monkeypatch.setattr(limits, "DISPLACED", 10_000)
    entries = [(f"/{number:03}", None, "file") for number in range(200)]
    result = run(write_file(tmp_path / "a.tar", tar(*entries)), write_file(tmp_path / "b.tar", tar(*entries[::-1])))
    assert (result.status, result.output) == (2, "") and "limit DISPLACED" in result.errors


def test_names_of_entries_cannot_hide_lines(tmp_path, run):
    name = "/a\n  same\x1b[2K\u202e"
    before = write_file(tmp_path / "a.tar", tar(("/x", None, "file")))
    result = run(before, write_file(tmp_path / "b.tar", tar((name, None, ">\x1b]0;t\x07"), ("/x", None, "file"))))
    assert result.output.isascii() and "\x1b" not in result.output and "\\u202e" in result.output
    assert "\n  same" not in result.output


def test_a_layer_in_another_place_is_one_change(tmp_path, run):
    lower, upper = tar(("/app", NET, "1")), tar(("/app", ADMIN, "2"))
    first, second = layout(tmp_path / "a", lower, upper), layout(tmp_path / "b", upper, lower)
    result = run(first, second)
    assert result.verdict == "differs: layers and capabilities, in layer 1 of 2"
    assert "    layer 2 of 2 -> layer 1 of 2\n" in result.output
    assert "only in the" not in result.output
    assert "  /app  cap_net_bind_service,cap_sys_admin=p -> cap_net_bind_service=p\n" in result.output
