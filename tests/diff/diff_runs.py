"""Runs image_diff in this process, and samples of what it compares."""

from __future__ import annotations

import pathlib
from typing import TYPE_CHECKING, NamedTuple

import pytest

from rules_setcap.capabilities import from_text
from rules_setcap.diff import cli
from support.image import tar

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


def write_file(path: pathlib.Path, data: bytes) -> pathlib.Path:
    path.write_bytes(data)
    return path
