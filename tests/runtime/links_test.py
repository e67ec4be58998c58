"""Tests that a program finds its interpreter and its modules through unresolved symlinks in its runfiles."""

from __future__ import annotations

import pathlib

from support.container import Bundle

RUNFILES = "/app/linked.runfiles/_main/tests/runtime"
STORE = f"{RUNFILES}/node_modules/.pnpm"


def test_interpreter_and_modules_are_found_through_symlinks(tmp_path):
    outcome = Bundle(pathlib.Path("tests/runtime/linked_image"), tmp_path).run(bounding=[])
    assert outcome.status == 0, outcome.output
    assert outcome.output == (
        f"{RUNFILES}/linked.venv/bin/python3.14 is {RUNFILES}/interpreter\n"
        f"foo: {STORE}/foo@1/node_modules/foo/name: foo\n"
        f"bar: {STORE}/bar@1/node_modules/bar/name: bar\n"
    )
