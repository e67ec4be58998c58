"""Each program for users has --help with examples, --version and documented exit statuses, and reports a mistake in one line."""

from __future__ import annotations

import contextlib
import io
import itertools
import json
import os
import pathlib
import pty
import re
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any, NoReturn

import pytest

from rules_setcap.capabilities import from_text
from rules_setcap.delivery import cli as delivery_cli
from rules_setcap.delivery.release import flags as release_flags
from rules_setcap.diagnostics import progress
from rules_setcap.diagnostics.command_line import CommandParser
from rules_setcap.diagnostics.program_names import GETCAP
from rules_setcap.diagnostics.version import VERSION
from rules_setcap.getcap import cli, exit_statuses, explain_command, list_command, review_command
from support.image import layout, tar

NET = from_text("cap_net_bind_service=p")
PAGE = pathlib.Path("docs/getcap.md").absolute()
RELEASES = pathlib.Path("docs/releases.md").absolute()
TARGET = "//app:deliver"
# By column of the table in docs/getcap.md.
STATUSES = {
    "getcap": exit_statuses.LIST,
    "getcap --review": exit_statuses.REVIEW,
    "getcap explain": exit_statuses.EXPLAIN,
    "image_push, image_load": delivery_cli.STATUSES,
}
GETCAP_COMMANDS = {"getcap": [], "getcap --review": ["--review"], "getcap explain": ["explain"]}


def _make_parsers() -> dict[str, tuple[CommandParser, Mapping[int, str]]]:
    """Returns the parser and the exit statuses of each program."""
    return {
        "getcap": (list_command.make_parser(GETCAP), exit_statuses.LIST),
        "getcap --review": (review_command.make_parser(GETCAP), exit_statuses.REVIEW),
        "getcap explain": (explain_command.make_parser(GETCAP), exit_statuses.EXPLAIN),
        "image_push": (delivery_cli.make_push_parser(TARGET), delivery_cli.STATUSES),
        "image_load": (delivery_cli.make_load_parser(TARGET), delivery_cli.STATUSES),
        "image_release": (release_flags.make_parser(TARGET), release_flags.STATUSES),
    }


PARSERS = _make_parsers()
# What crane does, as far as it is looked at: crane push --image-refs=FILE LAYOUT REFERENCE.
PUSHING = 'echo x@{digest} > "${{2#*=}}"'


@pytest.fixture(autouse=True)
def _change_directory(tmp_path, monkeypatch):
    """Makes the temporary directory the working directory, with an image in it."""
    monkeypatch.chdir(tmp_path)
    layout(tmp_path / "image", tar(("/x", NET, "file")), Entrypoint=["/x"], User="1000")


def _write_spec(kind: str = "push", repository: str = "registry.example/app", script: str = "exit 1") -> str:
    """Writes what a rule writes for a target, with a client that runs a script; returns the path."""
    pathlib.Path("client").write_text(f"#!/bin/sh\n{script}\n")
    pathlib.Path("client").chmod(0o755)
    spec = pathlib.Path("spec.json").absolute()
    pathlib.Path("destination.json").write_text(json.dumps({"repository": repository, "tags": [], "name": "app:dev"}))
    program = {"kind": {"push": "crane", "load": "podman"}[kind], "path": "client"}
    values = {"target": TARGET, "kind": kind, "image": "//app:image", "layout": "image", "destination": "destination.json"}
    spec.write_text(json.dumps({**values, "sources": [], "program": program, "spec": "spec.json"}))
    return str(spec)


def _read_digest() -> str:
    digest = json.loads(pathlib.Path("image/index.json").read_bytes())["manifests"][0]["digest"]
    assert isinstance(digest, str)
    return digest


def _run_main(main: Callable[[list[str]], int], *arguments: str) -> int:
    """Runs a program in this process; returns its exit status."""
    try:
        return main(list(arguments))
    except SystemExit as error:
        assert isinstance(error.code, int)
        return error.code


@pytest.mark.parametrize("name", PARSERS)
def test_help_has_examples_and_exit_statuses(name, monkeypatch):
    monkeypatch.setenv("COLUMNS", "1000")
    monkeypatch.setenv("NO_COLOR", "1")
    parser, statuses = PARSERS[name]
    text = parser.format_help()
    examples = re.findall(r"^  \$ (.*)$", text, re.MULTILINE)
    command = "getcap" if name.startswith("getcap") else f"bazel run {TARGET}"
    assert len(examples) >= 3 and all(command in example for example in examples)
    assert dict(re.findall(r"^  (\d+) +(.*)$", text, re.MULTILINE)) == {str(status): text for status, text in statuses.items()}


def test_examples_of_help_are_parsed():
    """Every flag of an example exists."""
    for name, (parser, _) in PARSERS.items():
        examples = re.findall(r"^  \$ (.*)$", parser.format_help(), re.MULTILINE)
        flags = {flag for example in examples for flag in re.findall(r"(?:^| )(--\w[\w-]+)", example.split("'")[0])}
        known = set(parser._option_string_actions) | {"--review"}
        if name == "image_load":
            known.add("--rm")  # Of docker run.
        assert flags <= known, name


@pytest.mark.parametrize(
    "main, arguments, program",
    [
        *((cli.main, arguments, "getcap") for arguments in GETCAP_COMMANDS.values()),
        (delivery_cli.main, ["push"], "image_push"),
        (delivery_cli.main, ["load"], "image_load"),
    ],
)
def test_the_version_is_printed(capsys, main, arguments, program):
    if main is delivery_cli.main:
        arguments = [_write_spec(*arguments)]
    assert _run_main(main, *arguments, "--version") == 0
    assert capsys.readouterr() == (f"{program} (rules_setcap) {VERSION}\n", "")


def test_the_documented_statuses_are_those_of_the_programs():
    page = PAGE.read_text()
    (table,) = re.findall(r"^\| status \|.*?\n\n", page, re.MULTILINE | re.DOTALL)
    header, _, *rows = [[cell.strip().replace("`", "") for cell in line.split("|")[1:-1]] for line in table.splitlines() if line]
    documented: dict[str, dict[int, str]] = {name: {} for name in header[1:]}
    for status, *cells in rows:
        for name, cell in zip(header[1:], cells, strict=True):
            if cell:
                documented[name][int(status)] = cell
    assert documented == STATUSES


def test_the_documented_statuses_of_a_release_are_those_of_the_program():
    section = RELEASES.read_text().partition("\n## Exit statuses\n")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| (\d+) \| (.*) \|$", section, re.MULTILINE)
    assert {int(status): meaning.replace("`", "") for status, meaning in rows} == release_flags.STATUSES


def test_every_flag_of_a_release_is_documented():
    page = RELEASES.read_text()
    parser = release_flags.make_parser(TARGET)
    flags = {flag for flag in parser._option_string_actions if flag.startswith("--")} - {"--help", "--version"}
    assert [flag for flag in sorted(flags) if flag not in page] == []


def _fail(*_: Any, **__: Any) -> NoReturn:
    raise ZeroDivisionError("oh")


def _interrupt(*_: Any, **__: Any) -> NoReturn:
    raise KeyboardInterrupt


@pytest.mark.parametrize(
    "arguments, status",
    [
        (["image"], 0),
        (["wrong.tar"], 1),
        (["none"], 2),
        (["--no-such-flag", "image"], 2),
        (["--review", "clean"], 0),
        (["--review", "image"], 1),
        (["--review", "none"], 2),
        (["explain", "image"], 0),
        (["explain", "image", "--docker-run", "docker run --cap-drop=ALL app"], 1),
        (["explain", "none"], 2),
        (["explain", "unknown"], 3),
    ],
)
def test_getcap_exits_with_the_documented_status(arguments, status):
    layout(pathlib.Path("clean"), tar(("/y", None, "file")))
    script = "#!/bin/sh\n. /etc/profile\n"
    layout(
        pathlib.Path("unknown"), tar(("/x", NET, "file"), ("/run", None, script), ("/bin/sh", None, "file")), Entrypoint=["/run"]
    )
    pathlib.Path("wrong.tar").write_bytes(tar(("/old", b"\0\0\0\1" + bytes(8), "file")))
    assert _run_main(cli.main, *arguments) == status


@pytest.mark.parametrize("main, status", [(_fail, 70), (_interrupt, 130)])
@pytest.mark.parametrize("command", GETCAP_COMMANDS.values())
def test_getcap_reports_its_own_errors_and_interrupts(monkeypatch, capsys, command, main, status):
    monkeypatch.setattr("rules_setcap.oci.image_reader.read_images", main)
    assert cli.main([*command, "image"]) == status
    assert ("internal error" in capsys.readouterr().err) == (status == 70)


@pytest.mark.parametrize(
    "flags, script, status, message",
    [
        ([], PUSHING, 0, ""),
        (
            [],
            "true",
            1,
            f"{TARGET}: crane has pushed registry.example/app@{{digest}} with the digest none; it must be {{digest}}\n",
        ),
        ([], "exit 3", 1, f"{TARGET}: crane has not pushed registry.example/app@{{digest}} (exit code 3)\n"),
        (
            ["--tagg=x"],
            "",
            2,
            f'{TARGET}: unrecognized arguments: --tagg=x; did you mean "--tag"?\n',
        ),
        (
            ["--tag"],
            "",
            2,
            f'{TARGET}: argument --tag: expected one argument; "bazel run {TARGET} -- --help" describes the arguments\n',
        ),
    ],
)
def test_push_exits_with_the_documented_status(capfd, flags, script, status, message):
    digest = _read_digest()
    spec = _write_spec(script=script.format(digest=digest))
    assert _run_main(delivery_cli.main, spec, *flags) == status
    assert capfd.readouterr().err == message.format(digest=digest)


@pytest.mark.parametrize("function, status", [(_fail, 70), (_interrupt, 130)])
def test_push_reports_its_own_errors_and_interrupts(monkeypatch, capsys, function, status):
    spec = _write_spec()
    monkeypatch.setattr(delivery_cli, "push_image", lambda *_, **__: function())
    assert delivery_cli.main([spec]) == status
    assert ("internal error" in capsys.readouterr().err) == (status == 70)


def test_a_client_that_is_not_a_program_is_an_error(capsys):
    """The kernel refuses to execute it, for instance because it is for another processor."""
    spec = _write_spec()
    client = pathlib.Path("client").absolute()
    client.write_bytes(b"\x7fELF")
    assert delivery_cli.main([spec]) == 1
    assert capsys.readouterr().err == f"{TARGET}: {client}: Exec format error\n"


def test_a_closed_output_of_push_gives_status_141_and_no_message():
    spec = _write_spec(script=PUSHING.format(digest=_read_digest()))
    reader, writer = os.pipe()
    os.close(reader)
    code = "import sys; from rules_setcap.delivery import cli; sys.exit(cli.main(sys.argv[1:]))"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(os.path.abspath, sys.path))}
    done = subprocess.run([sys.executable, "-c", code, spec], env=environment, stdout=writer, stderr=subprocess.PIPE, check=False)
    os.close(writer)
    assert (done.returncode, done.stderr) == (141, b"")


@pytest.mark.parametrize(
    "arguments, message",
    [
        ([], 'getcap: the following arguments are required: PATH; "getcap --help" describes the arguments\n'),
        (
            ["--plattform=linux/amd64", "image"],
            'getcap: unrecognized arguments: --plattform=linux/amd64; did you mean "--platform"?\n',
        ),
        (
            ["-v", "image"],
            'getcap: argument -v: files without capabilities are not printed; leave it out, or write "tar -tvf" to list all files '
            "of a tar\n",
        ),
        (["list", "image"], 'getcap: command: "list": no such command or file; write "getcap IMAGE"\n'),
        (["review", "image"], 'getcap: command: "review": no such command or file; write "getcap --review IMAGE"\n'),
        (["--explain", "image"], 'getcap: command: "--explain": no such command or file; write "getcap explain IMAGE"\n'),
        (["help"], 'getcap: command: "help": no such command or file; write "getcap --help"\n'),
        (["version"], 'getcap: command: "version": no such command or file; write "getcap --version"\n'),
        (
            ["-r", "directory"],
            'getcap: image: "directory": index.json cannot be read: No such file or directory; give an OCI layout directory, or the '
            'files of a directory as a tar: "tar --xattrs --xattrs-include=security.capability -cC directory . | getcap -"\n',
        ),
        (
            ["explain", "image", "--service", "x"],
            'getcap explain: --service needs --compose; "getcap explain --help" describes the arguments\n',
        ),
    ],
)
def test_habits_and_mistakes_have_a_message_that_says_what_to_write(capsys, arguments, message):
    pathlib.Path("directory").mkdir()
    assert _run_main(cli.main, *arguments) == 2
    assert capsys.readouterr() == ("", message)


@pytest.mark.parametrize("flags", [["-r"], ["-n"], ["-rn"], ["-r", "-n"]])
def test_flags_of_libcap_that_are_not_needed_are_accepted(capsys, flags):
    assert cli.main([*flags, "image"]) == 0
    assert capsys.readouterr() == ("/x cap_net_bind_service=p\n", "")


def test_a_file_with_the_name_of_a_command_is_an_image(capsys):
    pathlib.Path("review").write_bytes(tar(("/x", NET, "file")))
    assert cli.main(["review"]) == 0
    assert capsys.readouterr() == ("/x cap_net_bind_service=p\n", "")


def _run_on_terminal(*arguments: str, **environment: str) -> str:
    """Runs getcap with a terminal as stdout and stderr; returns what it prints."""
    controller, terminal = pty.openpty()
    code = "import sys; from rules_setcap.getcap import cli; sys.exit(cli.main(sys.argv[1:]))"
    path = os.pathsep.join(map(os.path.abspath, sys.path))
    variables = {"PYTHONPATH": path, "TERM": "xterm", "COLUMNS": "100", **environment}
    with subprocess.Popen([sys.executable, "-c", code, *arguments], stdout=terminal, stderr=terminal, env=variables):
        os.close(terminal)
        output = b""
        with contextlib.suppress(OSError):  # EIO after getcap has exited.
            while data := os.read(controller, 4096):
                output += data
    os.close(controller)
    return output.decode().replace("\r\n", "\n")


@pytest.mark.parametrize("command", GETCAP_COMMANDS.values())
def test_the_help_has_no_colors_with_no_color(command):
    assert "\033" in _run_on_terminal(*command, "--help")
    assert "\033" not in _run_on_terminal(*command, "--help", NO_COLOR="1")


@pytest.mark.parametrize("arguments", [["image"], ["--review", "image"], ["explain", "image"], ["none"], ["--json", "image"]])
def test_output_on_a_terminal_has_no_colors(arguments):
    output = _run_on_terminal(*arguments)
    assert output and "\033" not in output


class _Terminal(io.StringIO):
    """A stream that is a terminal, or not."""

    def __init__(self, terminal: bool) -> None:
        super().__init__()
        self._terminal = terminal

    def isatty(self) -> bool:
        return self._terminal


def _show_progress(monkeypatch: pytest.MonkeyPatch, *, terminal: bool = True, name: str = "xterm") -> str:
    """Returns what is shown of a read with two steps."""
    stream = _Terminal(terminal)
    monkeypatch.setattr(sys, "stderr", stream)
    monkeypatch.setattr(progress, "_FIRST", 0.01)
    monkeypatch.setattr(progress, "_NEXT", 0.01)
    monkeypatch.setenv("TERM", name)
    counts = itertools.count(0, 1_000_000)
    monkeypatch.setattr(progress, "_count_read_bytes", lambda: next(counts))
    with progress.show_progress("getcap: image"):
        for step, total in (("", None), ("unpacking", 5_000_000), ("layer 1 of 2", 1_000)):
            progress.begin_step(step, total)
            end = time.monotonic() + 60
            while terminal and name != "dumb" and stream.getvalue().count(f"image: {step}") < 3 and time.monotonic() < end:
                time.sleep(0.001)
    return stream.getvalue()


def test_the_progress_of_each_step_has_its_total(monkeypatch):
    first, *lines, last = _show_progress(monkeypatch).split("\r\033[K")
    assert (first, last) == ("", "")
    for line in lines:
        assert re.fullmatch(r"getcap: image: (unpacking: [0-5] of 5 MB|layer 1 of 2: 0 of 0 MB|\d+ MB) read", line)
    for step in ("", "unpacking: ", "layer 1 of 2: "):
        assert any(re.match(rf"getcap: image: {step}\d", line) for line in lines), lines


def test_no_progress_is_shown_without_a_terminal_that_erases(monkeypatch):
    assert _show_progress(monkeypatch, terminal=False) == ""
    assert _show_progress(monkeypatch, name="dumb") == ""
