"""e2e/smoke builds, and its tests pass, on a remote executor."""

from __future__ import annotations

import os
import pathlib
import re
import tempfile

import executor as executors
import workspaces


def test_smoke_makes_the_same_images_on_a_remote_executor():
    # The addresses of sockets are short, and the user of PostgreSQL can search the directory.
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as temporary:
        directory = pathlib.Path(temporary)
        directory.chmod(0o755)
        here = workspaces.Workspace("smoke", directory / "here")
        images = here.test()
        here.stop()
        state = directory / "executor"
        state.mkdir()
        with executors.run_executor(state, pathlib.Path(os.environ["BGD"]).absolute()) as executor, executor.add_reports():
            there = workspaces.Workspace("smoke", directory / "there")
            try:
                assert there.test(*executor.flags) == images
                done = there.run(
                    "test", *there.flags, *executor.flags, "--nocache_test_results", "--noremote_accept_cached", "//..."
                )
            finally:
                there.stop()
        assert re.search(r"\d+ processes: .*\b\d+ remote\b", done.stderr), done.stderr
