"""All mistakes of a command line are reported at once, in one line each."""

from __future__ import annotations

import contextlib
import sys

import pytest

from rules_setcap.diagnostics.command_line import CommandParser, parse_number


def _make_parser() -> CommandParser:
    parser = CommandParser("run", "Runs.", examples=["run"], statuses={0: "ok"}, program="run", message_prefix="//app:run")
    parser.add_checked_argument("--count", lambda text: parse_number(text, 1, 9), default=7)
    parser.add_checked_argument("--name", _check_name, action="append", dest="names")
    parser.add_argument("--quiet", action="store_true")
    return parser


def _check_name(text: str) -> None:
    if text == "quoted":
        raise ValueError('"quoted" is not a name')
    if not text.islower():
        raise ValueError("must be in lower case; write it so")


def test_valid_values_are_converted():
    options = _make_parser().parse_command(["--count=3", "--name", "a", "--name", "b"])
    assert (options.count, options.names, options.quiet) == (3, ["a", "b"], False)
    assert _make_parser().parse_command([]).count == 7


def _parse(capsys: pytest.CaptureFixture[str], *arguments: str) -> list[str]:
    """Parses a command line that is not valid; returns the lines of its errors."""
    with pytest.raises(SystemExit) as exited:
        _make_parser().parse_command(arguments)
    printed = capsys.readouterr()
    assert (exited.value.code, printed.out) == (2, "")
    return printed.err.splitlines()


def test_all_mistakes_are_reported_at_once(capsys):
    assert _parse(capsys, "--count=0", "--name=A", "--name=ok", "--name=quoted", "--quite") == [
        '//app:run: argument --count: "0": must be a number from 1 to 9; "run --help" describes the arguments',
        '//app:run: argument --name: "A": must be in lower case; write it so',
        '//app:run: argument --name: "quoted" is not a name; "run --help" describes the arguments',
        '//app:run: unrecognized arguments: --quite; did you mean "--quiet"?',
    ]


def test_a_flag_without_its_value_is_reported_after_the_others(capsys):
    first, last = _parse(capsys, "--name=A", "--count")
    assert '"A"' in first and last.startswith("//app:run: argument --count: expected one argument")


@pytest.mark.parametrize("text", ["", "0", "10", "-1", "1.5", "1e0", " 1", "\u0663", "1_0", "0x1", "9" * 5000])
def test_what_is_not_a_number_is_an_error(text):
    with pytest.raises(ValueError, match=r"^must be a number from 1 to 9$"):
        parse_number(text, 1, 9)


@pytest.mark.parametrize("flag", ["--help", "--version"])
def test_help_that_cannot_be_printed_is_an_error(monkeypatch, flag):
    """Otherwise the interpreter reports the error when it exits."""
    with contextlib.suppress(OSError), open("/dev/full", "w") as full:
        monkeypatch.setattr(sys, "stdout", full)
        with pytest.raises(OSError, match="No space left on device"):
            _make_parser().parse_command([flag])
