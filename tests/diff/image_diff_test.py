"""image_diff compares images in all forms, prints what differs, and reports what cannot be compared."""

from __future__ import annotations

import copy
import gzip
import hashlib
import io
import json
import pathlib
import random
import re
import shutil
import subprocess
import sys
import tarfile
import time
from typing import TYPE_CHECKING, NamedTuple

import pairs
import pytest

from rules_setcap.capabilities import from_text
from rules_setcap.diagnostics import limits
from rules_setcap.diagnostics.program_names import IMAGE_DIFF
from rules_setcap.diff import cli, diff_command
from rules_setcap.diff.model import KINDS
from support import archives
from support.image import layout, tar

if TYPE_CHECKING:
    from collections.abc import Callable

NET, ADMIN = from_text("cap_net_bind_service=p"), from_text("cap_net_bind_service,cap_sys_admin=p")
BASE = tar(("/etc", None, "directory"), ("/etc/passwd", None, "root:x:0:0::/:/bin/sh\n"))


class Result(NamedTuple):
    """The exit status of image_diff, and the text on stdout and stderr."""

    status: int
    output: str
    errors: str

    @property
    def verdict(self) -> str:
        """The first line of the report."""
        return self.output.partition("\n")[0]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Callable[..., Result]:
    """Returns a function that runs image_diff."""

    def run_image_diff(*arguments: object) -> Result:
        try:
            status = cli.main([str(argument) for argument in arguments])
        except SystemExit as error:
            status = int(str(error.code))
        captured = capsys.readouterr()
        assert "internal error" not in captured.err
        return Result(status, captured.out, captured.err)

    return run_image_diff


def _write(path: pathlib.Path, data: bytes) -> pathlib.Path:
    path.write_bytes(data)
    return path


def test_the_program_runs_from_bazel():
    image = "examples/netbind/image"
    done = subprocess.run(["tools/image_diff/image_diff", image, image], capture_output=True, text=True, check=False, timeout=120)
    assert (done.returncode, done.stdout.partition("\n")[0], done.stderr) == (0, "same", "")


def test_a_report_begins_with_what_a_container_sees(tmp_path, run):
    before = tar(("/app", NET, "program"), ("/b", None, "one\n"), ("/gone", None, "file"))
    after = tar(("/app", ADMIN, "program"), ("/b", None, "two\n", {"mode": 0o4755, "mtime": 5, "uid": 7}), ("/new", None, "xyz"))
    first = layout(tmp_path / "a", BASE, before, Env=["A=1", "B=2"])
    second = layout(tmp_path / "b", BASE, after, Env=["A=1", "B=3"])
    result = run(first, second)
    assert result.status == 1
    lines = [line for line in result.output.splitlines() if "sha256:" not in line]
    assert lines == [
        "differs: config, mtime, owner, mode, capabilities, entries and content, in layer 2 of 2",
        "",
        "capabilities in the merged root filesystem, which a container sees",
        "  /app  cap_net_bind_service=p -> cap_net_bind_service,cap_sys_admin=p",
        "",
        "config",
        '  config.Env.B  "2" -> "3"',
        "",
        "layer 2 of 2",
        "  mtime",
        "    /b  1970-01-01T00:00:00Z -> 1970-01-01T00:00:05Z",
        "  owner",
        "    /b  uid  0 -> 7",
        "  mode",
        "    /b  0755 -> 4755",
        "        gains the set-user-ID bit",
        "  capabilities",
        "    /app  cap_net_bind_service=p -> cap_net_bind_service,cap_sys_admin=p",
        "  entries",
        "    - /gone  file, 0 bytes, mode 0755, owner 0:0",
        "    + /new  file, 3 bytes, mode 0755, owner 0:0",
        *lines[21:],
    ]
    assert lines[21] == "  content" and lines[22].startswith("    /b  ")


def test_ignored_changes_are_counted(tmp_path, run):
    first, second = (
        layout(tmp_path / name, tar(("/a", capabilities, "x", {"mtime": number})))
        for number, (name, capabilities) in enumerate([("a", None), ("b", NET)])
    )
    assert run(first, second).verdict == "differs: mtime and capabilities, in layer 1 of 1"
    result = run("--ignore", "mtime", first, second)
    assert (result.status, result.verdict) == (1, "differs: capabilities, in layer 1 of 1 (ignored: 1 mtime)")
    result = run("--ignore=mtime", "--ignore=capabilities", first, second)
    assert (result.status, result.verdict) == (0, "same apart from what is ignored (ignored: 1 mtime, 2 capabilities)")
    assert json.loads(run("--json", "--ignore=mtime", first, second).output)["ignored"] == {"mtime": 1}


@pytest.mark.parametrize("one", archives.WRITERS)
@pytest.mark.parametrize("other", ["buildkit", "nix"])
def test_an_image_is_the_same_in_the_archives_of_all_programs(tmp_path, run, one, other):
    image = archives.image(BASE, tar(("/app", NET, "file")))
    paths = [archives.write_archive(tmp_path / f"{name}.tar", archives.WRITERS[name](image)) for name in (one, other)]
    result = run(*paths)
    assert result.status == 0, result.output
    with_manifests = {"buildkit", "docker 25"}
    has_manifests = {one, other} <= with_manifests
    assert result.verdict == ("same" if has_manifests == bool({one, other} & with_manifests) else "same image in another form"), (
        result.output
    )
    assert ("has no manifest" in result.output) != has_manifests


def test_only_the_compression_differs(tmp_path, run):
    plain = tar(("/app", NET, "file"))
    paths = [
        _write(tmp_path / "plain", plain),
        _write(tmp_path / "fast", gzip.compress(plain, 1, mtime=0)),
        _write(tmp_path / "dated", gzip.compress(plain, 1, mtime=77)),
    ]
    result = run(paths[0], paths[1])
    assert (result.status, result.verdict) == (1, "differs: compression, in layer 1 of 1")
    assert f"not compressed, {len(plain)} bytes -> gzip" in result.output
    result = run(paths[1], paths[2])
    assert result.status == 1 and "time in the gzip header: 0 -> 77" in result.output
    assert run("--ignore=compression", paths[0], paths[2]).status == 0


def test_an_image_is_compared_with_a_tar_of_files(tmp_path, run):
    files = tar(("/app", NET, "file"))
    result = run(layout(tmp_path / "image", files), _write(tmp_path / "files.tar", files))
    assert (result.status, result.verdict) == (0, "same image in another form")
    assert "only layers are compared" in result.output
    result = run(layout(tmp_path / "image2", BASE, files), _write(tmp_path / "files.tar", files))
    assert (result.status, result.verdict) == (1, "differs: layers, in layer 1 of the first image")
    assert "- 2 entries" in result.output


def test_images_of_an_index_are_compared_by_platform(tmp_path, run):
    image = pairs.draw_image(random.Random(1))
    image.index, image.platforms = {}, ["amd64", "arm64"]
    index = image.write_layout(tmp_path / "index")
    changed = copy.deepcopy(image)
    changed.layers[0].entries[0].mode = 0o700
    changed.platforms = ["arm64", "s390x"]
    other = changed.write_layout(tmp_path / "other")
    result = run(index, other)
    assert (result.status, result.verdict) == (1, f"differs: index and mode, in linux/arm64: layer 1 of {len(image.layers)}")
    assert "- manifests  linux/amd64" in result.output and "+ manifests  linux/s390x" in result.output
    result = run("--platform=linux/arm64", index, other)
    assert (result.status, result.verdict) == (1, f"differs: mode, in layer 1 of {len(image.layers)}")
    result = run("--platform=linux/amd64", index, other)
    assert (result.status, result.output) == (2, "")
    assert result.errors == (
        f'image_diff: platform: "linux/amd64": "{other}" has no image for it; it has linux/arm64, linux/s390x\n'
    )
    single = copy.deepcopy(changed)
    single.index, single.platforms = None, ["arm64"]
    result = run(index, single.write_layout(tmp_path / "single"))
    assert (result.status, result.verdict) == (1, f"differs: mode, in layer 1 of {len(image.layers)}")
    assert "note: the first has images for linux/amd64 too, which are not compared" in result.output
    single.platforms = ["riscv64"]
    result = run(index, single.write_layout(tmp_path / "risc"))
    assert result.status == 2 and "has no image for that platform; it has linux/amd64, linux/arm64" in result.errors


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
    first = _write(tmp_path / "a.tar", tar(one, two, ("/b", None, "file")))
    assert run(first, _write(tmp_path / "b.tar", tar(one, three, ("/b", None, "file")))).verdict.startswith("differs: content")
    result = run(first, _write(tmp_path / "c.tar", tar(one, ("/b", None, "file"), two)))
    assert result.verdict == "differs: order, in layer 1 of 1"
    result = run(first, _write(tmp_path / "d.tar", tar(one, two, ("/b", None, "file"), three)))
    assert result.verdict == "differs: entries, in layer 1 of 1"


def test_reversed_entries_differ_in_order_only(tmp_path, run):
    entries = [(f"/{number:03}", None, f"{number}") for number in range(200)]
    paths = [_write(tmp_path / "a.tar", tar(*entries)), _write(tmp_path / "b.tar", tar(*entries[::-1]))]
    result = run(*paths)
    assert (result.status, result.verdict) == (1, "differs: order, in layer 1 of 1")
    assert "sorted by path -> not sorted" in result.output
    shuffled = random.Random(1).sample(entries, len(entries))
    assert run(paths[0], _write(tmp_path / "c.tar", tar(*shuffled))).verdict == "differs: order, in layer 1 of 1"


def test_a_renamed_file_is_named(tmp_path, run):
    before = _write(tmp_path / "a.tar", tar(("/a", None, "same content"), ("/c", None, "c")))
    after = _write(tmp_path / "b.tar", tar(("/b", None, "same content"), ("/c", None, "c")))
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
    paths = [_write(tmp_path / f"{number}.tar", entries + header + bytes(1024)) for number, header in enumerate(headers)]
    result = run(*paths)
    assert result.verdict == "differs: encoding, in layer 1 of 1"
    assert "the tars differ at byte" in result.output
    result = run(_write(tmp_path / "c.tar", headers[0] + plain), _write(tmp_path / "d.tar", headers[1] + plain))
    assert result.verdict == "differs: encoding, in layer 1 of 1"
    assert "a global pax header" in result.output and "comment=two" in result.output


def test_a_removed_capability_of_a_lower_layer_is_seen(tmp_path, run):
    lower = tar(("/app", NET, "file"), ("/kept", NET, "file"))
    before = layout(tmp_path / "a", lower, tar(("/x", None, "file")))
    after = layout(tmp_path / "b", lower, tar(("/.wh.app", None, "file")))
    result = run(before, after)
    assert "  /app  cap_net_bind_service=p -> no such file\n" in result.output
    assert "/kept" not in result.output
    assert "a whiteout: deletes /app of the layers below" in result.output


def test_long_lists_are_cut(tmp_path, run):
    before, after = (
        _write(
            tmp_path / f"{mtime}.tar",
            tar(*((f"/{number}", None, f"{number + mtime}", {"mtime": mtime}) for number in range(30))),
        )
        for mtime in (0, 100)
    )
    result = run(before, after)
    assert "1970-01-01T00:00:00Z -> 1970-01-01T00:01:40Z: 30 entries: /0, /1, /10 and 27 more" in result.output
    assert "and 20 more; --all shows them" in result.output
    assert all(f"/{number}" in run("--all", before, after).output for number in range(30))


def test_changes_beyond_the_limit_are_counted(tmp_path, run, monkeypatch):
    monkeypatch.setattr(limits, "CHANGES", 5)
    before, after = (
        _write(tmp_path / f"{mode}.tar", tar(*((f"/{number}", None, "file", {"mode": mode}) for number in range(30))))
        for mode in (0o644, 0o755)
    )
    result = run(before, after)
    assert result.status == 1 and "mode: 25 more changes, which were counted only" in result.output
    assert json.loads(run("--json", before, after).output)["images"][0]["layers"][0]["omitted"] == {"mode": 25}


def test_too_many_displaced_entries_are_refused(tmp_path, run, monkeypatch):
    monkeypatch.setattr(limits, "DISPLACED", 10_000)
    entries = [(f"/{number:03}", None, "file") for number in range(200)]
    result = run(_write(tmp_path / "a.tar", tar(*entries)), _write(tmp_path / "b.tar", tar(*entries[::-1])))
    assert (result.status, result.output) == (2, "") and "limit DISPLACED" in result.errors


def test_names_of_entries_cannot_hide_lines(tmp_path, run):
    name = "/a\n  same\x1b[2K\u202e"
    before = _write(tmp_path / "a.tar", tar(("/x", None, "file")))
    result = run(before, _write(tmp_path / "b.tar", tar((name, None, ">\x1b]0;t\x07"), ("/x", None, "file"))))
    assert result.output.isascii() and "\x1b" not in result.output and "\\u202e" in result.output
    assert "\n  same" not in result.output


def test_standard_input_is_read_once(tmp_path, run, monkeypatch):
    data = tar(("/app", NET, "file"))
    path = _write(tmp_path / "a.tar", data)
    for arguments in (("-", path), (path, "-")):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))
        assert run(*arguments).verdict == "same"
    result = run("-", "-")
    assert result.status == 2 and '"-" is standard input, which can be read once' in result.errors


def test_problems_of_both_images_are_reported_in_one_line_each(tmp_path, run):
    damaged = _write(tmp_path / "damaged.tar", tar(("/a", None, "x" * 2000))[:1500])
    result = run(tmp_path / "absent", damaged)
    assert (result.status, result.output) == (2, "")
    assert result.errors.splitlines() == [
        f"image_diff: {tmp_path}/absent: No such file or directory",
        f'image_diff: image: "{damaged}": ends within the content of an entry, at byte 1500',
    ]


def test_a_damaged_blob_is_reported(tmp_path, run):
    image = layout(tmp_path / "a", BASE, tar(("/app", NET, "file")))
    other = layout(tmp_path / "b", BASE, tar(("/app", ADMIN, "file")))
    digest = json.loads((other / "index.json").read_text())["manifests"][0]["digest"]
    manifest = json.loads((other / "blobs/sha256" / digest[7:]).read_text())
    for number in (0, 1):
        blob = other / "blobs/sha256" / manifest["layers"][number]["digest"][7:]
        data = blob.read_bytes()
        blob.write_bytes(data[:-1] + b"x")
        result = run(image, other)
        assert (result.status, result.output) == (2, "")
        assert len(result.errors.splitlines()) == 1 and str(other) in result.errors and "digest" in result.errors
        blob.write_bytes(data)
    blob.unlink()
    result = run(image, other)
    assert (result.status, result.output) == (2, "") and "cannot be read: No such file or directory" in result.errors


@pytest.mark.parametrize(
    "arguments, message",
    [
        ((), "the following arguments are required: A, B"),
        (("a",), "the following arguments are required: B"),
        (("--ignore", "times", "a", "b"), "argument --ignore: invalid choice: 'times'"),
        (("--platfrom=linux/amd64", "a", "b"), "did you mean"),
        (("--json", "--al", "a", "b"), "unrecognized arguments: --al"),
        (("--platform=amd64", "image", "image"), 'platform: "amd64": not a valid platform'),
        (("oci:image", "image"), "must be a path, without the transport oci:; write image"),
        (("docker-daemon:app:dev", "image"), "skopeo copy docker-daemon:app:dev oci:app"),
        (("directory", "image"), "tar --xattrs --xattrs-include=security.capability -cC directory . | image_diff - B"),
    ],
)
def test_mistakes_on_the_command_line_have_a_message(tmp_path, run, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    layout(tmp_path / "image", BASE)
    (tmp_path / "directory").mkdir()
    result = run(*arguments)
    assert (result.status, result.output) == (2, "")
    assert message in result.errors and len(result.errors.splitlines()) == 1


def test_the_help_explains_every_kind(run):
    result = run("--help")
    assert result.status == 0
    assert all(f"  {kind}: {what}"[:60] in result.output for kind, what in KINDS.items())
    assert run("--version").output.startswith("image_diff (rules_setcap) ")


def test_the_page_has_every_kind_every_status_and_every_key():
    text = pathlib.Path("docs/image-diff.md").read_text()
    rows = dict(re.findall(r"^\| (`?[\w-]+`?) \| (.*) \|$", text, re.MULTILINE))
    assert {int(status): meaning for status, meaning in rows.items() if status.isdecimal()} == diff_command.STATUSES
    kinds = re.findall(r"^\| `(\w+)` \| ", text.partition("| kind | ")[2].partition("\n\n")[0], re.MULTILINE)
    assert kinds == list(KINDS)
    flags = {
        flag
        for action in diff_command.make_parser(IMAGE_DIFF)._actions
        for flag in action.option_strings
        if flag.startswith("--")
    }
    assert [flag for flag in flags - {"--help", "--version"} if f"{flag}" not in text] == []


def test_a_layer_in_another_place_is_one_change(tmp_path, run):
    lower, upper = tar(("/app", NET, "1")), tar(("/app", ADMIN, "2"))
    first, second = layout(tmp_path / "a", lower, upper), layout(tmp_path / "b", upper, lower)
    result = run(first, second)
    assert result.verdict == "differs: layers and capabilities, in layer 1 of 2"
    assert "    layer 2 of 2 -> layer 1 of 2\n" in result.output
    assert "only in the" not in result.output
    assert "  /app  cap_net_bind_service,cap_sys_admin=p -> cap_net_bind_service=p\n" in result.output


def test_set_id_bits_are_named_where_they_matter(tmp_path, run):
    def write(name, *members):
        return layout(tmp_path / name, BASE, *members)

    first = write("a", tar(("/su", None, "x", {"mode": 0o6755, "uid": 1000, "gid": 50})))
    result = run(first, write("b", tar(("/su", None, "x", {"mode": 0o6755, "uid": 0, "gid": 50}))))
    assert result.output.endswith("    /su  uid  1000 -> 0\n        set-user-ID=0\n")
    result = run(first, write("c", tar(("/sg", None, "x", {"mode": 0o2755, "gid": 42}))))
    assert "    + /sg  file, 1 bytes, mode 2755, owner 0:42\n        set-group-ID=42\n" in result.output
    result = run(first, write("d"))
    assert "/su has set-user-ID=1000, set-group-ID=50" in result.output


def test_other_content_of_a_file_with_privileges_names_them(tmp_path, run):
    """A reviewer looks at such a file first, whether the content is described or not."""

    def write(name, content):
        entries = [("/app", NET, content), ("/su", None, content, {"mode": 0o4755}), ("/plain", None, content)]
        return layout(tmp_path / name, tar(*entries))

    first, second = write("a", "old\n"), write("b", "new\n")
    result = run(first, second)
    assert result.output.count("the file has ") == 2
    assert "    /app  text: 1 line removed, 1 added\n        the file has capabilities cap_net_bind_service=p\n" in result.output
    assert "    /su  text: 1 line removed, 1 added\n        the file has set-user-ID=0\n" in result.output


def test_other_bytes_of_the_same_capabilities_are_shown(tmp_path, run):
    paths = []
    for revision, end in (("02", ""), ("03", "00000000")):
        value = bytes.fromhex(f"010000{revision}00040000000000000000000000000000{end}").decode()
        with tarfile.open(tmp_path / revision, "w", format=tarfile.PAX_FORMAT) as archive:
            info = tarfile.TarInfo("app")
            info.pax_headers = {"SCHILY.xattr.security.capability": value}
            archive.addfile(info)
        paths.append(tmp_path / revision)
    result = run(*paths)
    assert result.verdict == "differs: capabilities, in layer 1 of 1"
    assert "the bytes of the attribute: 01000002000400000000000000" in result.output


@pytest.mark.parametrize(("before", "after"), [(True, 1), (0, False), (1, 1.0), ({"a": [True]}, {"a": [1]})])
def test_values_that_are_equal_in_python_only_differ(tmp_path, run, before, after):
    result = run(layout(tmp_path / "a", BASE, Field=before), layout(tmp_path / "b", BASE, Field=after))
    assert result.verdict == "differs: config"


def test_long_lists_are_compared_in_little_time(tmp_path, run):
    count = 100_000
    first = layout(tmp_path / "a", BASE, Field=[0] * count)
    started = time.process_time()
    result = run(first, layout(tmp_path / "b", BASE, Field=[1] + [0] * (count - 3) + [1]))
    assert result.verdict == "differs: config"
    assert time.process_time() - started < 30


def test_items_that_are_added_to_a_list_are_the_only_changes(tmp_path, run):
    words = [str(number) for number in range(40)]
    first = layout(tmp_path / "a", BASE, Cmd=words)
    for position in (0, 1, 20, 39, 40):
        second = layout(tmp_path / f"b{position}", BASE, Cmd=[*words[:position], "new", *words[position:]])
        for images, values in (((first, second), 'none -> "new"'), ((second, first), '"new" -> none')):
            assert run(*images).output.endswith(f"\nconfig\n  config.Cmd[{position}]  {values}\n")
    second = layout(tmp_path / "c", BASE, Cmd=[*words[:3], "x", *words[4:30], *words[31:]])
    lines = run(first, second).output.splitlines()
    assert lines[-2:] == ['  config.Cmd[3]  "3" -> "x"', '  config.Cmd[30]  "30" -> none']


def _write_index(directory: pathlib.Path, *descriptors: dict[str, object], indent: int | None = None) -> pathlib.Path:
    """Writes an OCI layout whose only image index has images for descriptors with these further fields."""
    manifests = []
    for descriptor in descriptors:
        layout(directory / "image", tar(("/app", NET, str(descriptor["platform"]))))
        [image] = json.loads((directory / "image/index.json").read_bytes())["manifests"]
        manifests.append({**image, **descriptor})
        shutil.copytree(directory / "image", directory / "layout", dirs_exist_ok=True)
        shutil.rmtree(directory / "image")
    kind = "application/vnd.oci.image.index.v1+json"
    index = json.dumps({"schemaVersion": 2, "mediaType": kind, "manifests": manifests}, indent=indent).encode()
    digest = hashlib.sha256(index).hexdigest()
    (directory / "layout/blobs/sha256" / digest).write_bytes(index)
    top = {"mediaType": kind, "digest": f"sha256:{digest}", "size": len(index)}
    (directory / "layout/index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [top]}))
    return directory / "layout"


def test_every_difference_of_indexes_is_reported(tmp_path, run):
    one, two = ({"platform": {"os": "linux", "architecture": architecture}} for architecture in ("amd64", "arm64"))
    first = _write_index(tmp_path / "a", one, two)
    result = run(first, _write_index(tmp_path / "b", two, one))
    assert result.verdict == "differs: index"
    assert '    manifests  ["linux/amd64", "linux/arm64"] -> ["linux/arm64", "linux/amd64"]\n' in result.output
    result = run(first, _write_index(tmp_path / "c", one, {**two, "annotations": {"a": "b"}}))
    assert result.verdict == "differs: index"
    assert '    + manifests["linux/arm64"].annotations  {"a": "b"}\n' in result.output
    result = run(first, _write_index(tmp_path / "d", one, two, indent=1))
    assert result.verdict == "differs: encoding"
    assert run(first, _write_index(tmp_path / "e", one, two)).verdict == "same"


def test_a_platform_that_is_not_text_is_that_of_the_config(tmp_path, run):
    paths = [
        _write_index(tmp_path / str(number), {"platform": platform})
        for number, platform in enumerate(
            [{"os": 5, "architecture": ["x"]}, {"os": "linux", "architecture": "amd64", "variant": 7}]
        )
    ]
    result = run(*paths)
    assert result.status == 1, result.errors


def test_the_layer_that_is_not_valid_is_named(tmp_path, run):
    valid, damaged = tar(("/a", None, "x" * 2000)), tar(("/a", None, "y" * 2000))[:1500]
    first, second = layout(tmp_path / "a", valid), layout(tmp_path / "b", damaged)
    digest = f"sha256:{hashlib.sha256(damaged).hexdigest()}"
    for arguments in ((first, second), (second, first)):
        result = run(*arguments)
        assert result.status == 2
        assert result.errors.startswith(f'image_diff: image: "{second}": layer {digest}: ends within')
