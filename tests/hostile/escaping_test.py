"""Hostile text in any place of an image never prints a control character, or a line of its own."""

from __future__ import annotations

import io
import json
import os
import pathlib
import subprocess
import sys
import tempfile
from contextlib import redirect_stderr, redirect_stdout

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from images import Layout
from raw_tars import CAPABILITY, END, make_file, make_header, make_pax_header

from rules_setcap.diagnostics import errors
from rules_setcap.getcap import cli
from rules_setcap.image_tests import cli as image_tests

# Controls (C0, DEL, C1), bidirectional overrides and isolates, zero-width characters, separators, a byte order mark, and tags.
_HOSTILE = (
    '\n\r\t\x00\x1b\x07\x7f\x85\x9b\u202a\u202e\u2066\u2069\u200b\u200d\u2028\u2029\ufeff\U000e0041\xa0\u3000\ud800\udc9b\\" /:=;'
)
_PIECES = st.sampled_from(
    [*_HOSTILE, "\x1b[2K", "\x1b]0;x\x07", "\\n", "\\x1b", "/x cap_net_raw=ep", "a", "é", "\r\n/bin/ping cap_net_raw=ep\n"]
)
TEXT = st.lists(_PIECES, max_size=6).map("".join)
# Names that a tar can hold.
NAME = TEXT.map(lambda text: text.encode("utf-8", "surrogateescape" if "\ud800" not in text else "surrogatepass")).map(
    lambda name: b"/".join(part for part in name.replace(b"\0", b"").split(b"/") if part not in (b"", b".", b"..")) or b"x"
)


def _check_printable(output: str, lines: int | None = None) -> None:
    """Checks that an output is printable and, if `lines` is given, has that many lines."""
    assert all(character == "\n" or character.isprintable() for character in output), ascii(output)
    if lines is not None:
        assert output.count("\n") == lines, ascii(output)


def _run_getcap(*arguments: str) -> tuple[int, str, str]:
    """Runs getcap, checks its messages, and returns its status, output and messages."""
    stdout, stderr = io.StringIO(), io.StringIO()
    with redirect_stdout(stdout), redirect_stderr(stderr):
        status = cli.main(list(arguments))
    output, messages = stdout.getvalue(), stderr.getvalue()
    assert "internal error" not in messages, messages
    _check_printable(messages)
    assert all(line.startswith("getcap: ") for line in messages.splitlines()), ascii(messages)
    return status, output, messages


@settings(deadline=None, max_examples=150)
@given(NAME, NAME, st.booleans())
def test_paths_and_links_are_escaped(name: bytes, link: bytes, valid: bool) -> None:
    record = CAPABILITY if valid else (CAPABILITY[0], b"x")
    tar = (
        make_file(b"f", b"", record, (b"path", name))
        + make_pax_header((b"path", name + b"2"), (b"linkpath", link))
        + make_header(b"l", kind=b"2")
        + END
    )
    with tempfile.TemporaryDirectory() as directory:
        path = os.path.join(directory, "image.tar")
        pathlib.Path(path).write_bytes(tar)
        status, output, _ = _run_getcap(path)
        assert status in (0, 1)
        _check_printable(output, 1 if status == 0 else 0)
        if status == 0:
            # The path ends at the first space without a backslash.
            word = output.replace("\\\\", "??").replace("\\ ", "??").partition(" ")[0]
            assert output[len(word) :] == " cap_net_bind_service=ep\n"
        status, output, _ = _run_getcap("--json", "--all-layers", path)
        _check_printable(output)
        assert output.isascii()
        (image,) = json.loads(output)["images"]
        if status == 0:
            assert os.fsencode(image["files"][0]["path"]) == b"/" + name


@settings(deadline=None, max_examples=150)
@given(TEXT, TEXT, TEXT, TEXT)
def test_texts_of_configs_are_escaped(one: str, two: str, three: str, four: str) -> None:
    with tempfile.TemporaryDirectory() as directory:
        layout = Layout(pathlib.Path(directory, "layout"))
        configs = []
        for system in (one, "linux"):
            tar = make_file(b"bin/x", b"#!" + two.encode("utf-8", "replace") + b"\n", CAPABILITY) + END
            fields = {
                "User": two,
                "Env": [f"{one}={two}", three],
                "Labels": {four: one, three: two},
                "Entrypoint": ["/bin/x", four],
                "WorkingDir": three,
            }
            descriptor = layout.image([tar], 1, **fields)
            configs.append({**descriptor, "annotations": {one: two, "org.opencontainers.image.ref.name": three}})
            # The config has the platform and the history outside of its field `config`.
            manifest = json.loads((layout.directory / "blobs/sha256" / str(descriptor["digest"])[7:]).read_text())
            image_config = json.loads((layout.directory / "blobs/sha256" / manifest["config"]["digest"][7:]).read_text())
            image_config |= {
                "os": system,
                "architecture": two,
                "variant": three,
                "author": four,
                "history": [{"created_by": one, "comment": two}],
            }
            manifest["config"] = layout.blob(json.dumps(image_config).encode(), "config.v1+json")
            configs[-1] |= layout.blob(json.dumps(manifest).encode(), "manifest.v1+json")
        layout.index(*configs)
        path = str(layout.directory)
        status, output, _ = _run_getcap(path)
        _check_printable(output, 2 if status == 0 else None)
        _, output, _ = _run_getcap("--json", path)
        assert (output.isascii() and not output) or json.loads(output)
        _check_printable(output)
        for platform in ((), ("--platform", "linux/amd64")):
            _, output, _ = _run_getcap("explain", path, *platform, "--docker-run", f"docker run x {four!r}")
            _check_printable(output)
        report = os.path.join(directory, "report")
        for flags in (["capabilities", "--expected={}"], ["digest", "--digest=sha256:" + "0" * 64]):
            assert image_tests.main([flags[0], "--target=//t", f"--report={report}", f"--image={path}", *flags[1:]]) == 0
            _check_printable(pathlib.Path(report).read_text())


@given(TEXT)
def test_escapes_are_unambiguous(text: str) -> None:
    for function in (errors.escape, errors.quote, errors.printable):
        assert function(text).isprintable()
    # In JSON, a pair of surrogates is the same as the character that it stands for.
    assert json.loads(errors.quote(text)) == text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "surrogatepass")
    assert " " not in errors.escape(text).replace("\\\\", "").replace("\\ ", "")
    unescaped, escaped = "", errors.escape(text)
    lengths = {"x": 2, "u": 4, "U": 8}
    while escaped:
        letter, escaped = escaped[0], escaped[1:]
        if letter == "\\":
            kind, escaped = escaped[0], escaped[1:]
            size = lengths.get(kind, 0)
            digits, escaped = escaped[:size], escaped[size:]
            letter = (
                chr(int(digits, 16) + (0xDC00 if kind == "x" else 0))
                if digits
                else {"n": "\n", "r": "\r", "t": "\t"}.get(kind, kind)
            )
        unescaped += letter
    assert unescaped == text


def test_characters_that_the_encoding_lacks_are_escaped(tmp_path: pathlib.Path) -> None:
    """They are escaped as characters, and not as bytes."""
    (tmp_path / "image.tar").write_bytes(make_file("é\u4e2d".encode() + b"\xe9\xff", b"", CAPABILITY) + END)
    for encoding in ("ascii", "latin-1", "utf-8"):
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "PYTHONIOENCODING": encoding}
        done = subprocess.run(
            [sys.executable, "-m", "rules_setcap.getcap", str(tmp_path / "image.tar")],
            env=environment,
            capture_output=True,
            check=True,
        )
        expected = {"ascii": "\\u00e9\\u4e2d", "latin-1": "é\\u4e2d", "utf-8": "é\u4e2d"}[encoding]
        assert done.stdout.decode(encoding) == f"/{expected}\\xe9\\xff cap_net_bind_service=ep\n"


@pytest.mark.parametrize(
    "error", [RecursionError("deep"), MemoryError(), UnicodeEncodeError("utf-8", "\ud800", 0, 1, "x\ny"), KeyError("a\x1b")]
)
def test_internal_errors_are_one_line(
    error: Exception, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*_: object, **_flags: object) -> None:
        raise error

    image = tmp_path / "image.tar"
    image.write_bytes(b"")
    monkeypatch.setattr("rules_setcap.oci.image_reader.read_images", fail)
    assert cli.main([str(image)]) == errors.INTERNAL
    stderr = capsys.readouterr().err
    _check_printable(stderr, 1)
    assert stderr.startswith(f"getcap: internal error: {type(error).__name__}: ") and stderr.endswith("; please report this\n")
    assert image_tests.main(["capabilities", "--target=//t", "--report=x", "--image=x"]) == errors.INTERNAL
    _check_printable(capsys.readouterr().err, 1)
    monkeypatch.setattr(
        "rules_setcap.oci.image_reader.read_images", lambda *_, **_flags: (_ for _ in ()).throw(KeyboardInterrupt)
    )
    assert cli.main([str(image)]) == 130
