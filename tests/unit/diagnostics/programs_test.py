"""A program that hangs is ended with everything that it has started, and one that works is not."""

from __future__ import annotations

import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import threading
import time

import pytest

from rules_setcap.diagnostics.programs import HangingError, Program, format_last_lines, read_end, run_limited

LIMIT = 1.0
SLEEP = 1000  # Seconds; longer than any test.


def _is_running(process: int) -> bool:
    """Returns whether a process runs. One that has ended and that nobody has waited for does not."""
    try:
        text = pathlib.Path(f"/proc/{process}/stat").read_text()
    except FileNotFoundError:
        return False
    return text.rpartition(")")[2].split()[0] not in ("Z", "X")


def _check_ended(path: pathlib.Path) -> None:
    """Checks that the processes whose IDs are in a file have ended, or have got SIGKILL and end now."""
    processes = [int(line) for line in path.read_text().split()]
    assert processes
    end = time.monotonic() + 10
    while left := [process for process in processes if _is_running(process)]:
        assert time.monotonic() < end, left
        time.sleep(0.05)


def _shell(script: str) -> list[str]:
    return ["/bin/sh", "-c", script]


def _python(script: str) -> list[str]:
    return [sys.executable, "-c", script]


@pytest.mark.parametrize("status", [0, 3])
def test_the_exit_code_is_returned(status):
    assert run_limited(_shell(f"exit {status}"), LIMIT) == status


def test_a_program_that_cannot_be_started_is_an_error():
    with pytest.raises(FileNotFoundError):
        run_limited(["/absent/program"], LIMIT)


HANGING = {
    "alone": "echo $$ > IDS; exec sleep SLEEP",
    "with a child": "sleep SLEEP & echo $$ $! > IDS; wait",
    "with a grandchild": "(sleep SLEEP & echo $$ $! > IDS; wait) & wait",
    "whose child has lost its parent": "(sleep SLEEP & echo $$ $! > IDS); exec sleep SLEEP",
    "stopped": "echo $$ > IDS; kill -STOP $$",
}


@pytest.mark.parametrize("script", HANGING.values(), ids=HANGING)
def test_a_program_that_hangs_is_ended_with_all_its_processes(tmp_path, script):
    ids = tmp_path / "ids"
    started = time.monotonic()
    with pytest.raises(HangingError, match=r"^made no progress for 1 s and was ended$"):
        run_limited(_shell(script.replace("IDS", str(ids)).replace("SLEEP", str(SLEEP))), LIMIT)
    assert LIMIT <= time.monotonic() - started < 20
    _check_ended(ids)


def test_a_program_that_ignores_sigterm_is_killed(tmp_path):
    ids = tmp_path / "ids"
    with pytest.raises(HangingError):
        run_limited(_shell(f"trap '' TERM; sleep {SLEEP} & echo $$ $! > {ids}; wait; wait"), LIMIT)
    _check_ended(ids)


def test_a_program_that_moves_a_byte_now_and_then_hangs():
    script = "import os, time\nfile = os.open('/dev/null', os.O_WRONLY)\nwhile True: os.write(file, b'x'); time.sleep(0.05)"
    with pytest.raises(HangingError):
        run_limited(_python(script), LIMIT)


WORKING = {
    "itself": "{python} -c {work}",
    "by a child": "{python} -c {work}; exit $?",
    "by a child in the background": "{python} -c {work} & wait $!",
}


@pytest.mark.parametrize("script", WORKING.values(), ids=WORKING)
def test_a_program_that_moves_bytes_is_not_ended(script):
    """It takes three times as long as a program may hang."""
    work = f"import os, time\\nfile = os.open('/dev/zero', os.O_RDONLY)\\nfor _ in range(60): os.read(file, 1000); time.sleep({LIMIT / 20})"
    command = script.format(python=sys.executable, work=f'"$(printf "{work}")"')
    started = time.monotonic()
    assert run_limited(_shell(command), LIMIT) == 0
    assert time.monotonic() - started >= 3 * LIMIT


def test_each_byte_is_progress_if_the_caller_says_so():
    script = (
        "import os, time\nfile = os.open('/dev/null', os.O_WRONLY)\nfor _ in range(15): os.write(file, b'x'); time.sleep(0.2)"
    )
    assert run_limited(_python(script), LIMIT, rate=0) == 0
    with pytest.raises(HangingError):
        run_limited(_python(f"import time; time.sleep({SLEEP})"), LIMIT, rate=0)


def test_a_program_with_a_total_limit_is_ended_while_it_works():
    with pytest.raises(HangingError, match=r"^took more than 1 s and was ended$"):
        run_limited(_shell("while :; do read -r line < /proc/self/stat; done"), LIMIT, total=True)


def test_the_reader_of_a_pipe_is_not_held_up_by_a_child_that_hangs():
    started = time.monotonic()
    with Program(_shell(f"sleep {SLEEP} & echo begun"), LIMIT, stdout=subprocess.PIPE) as program:
        assert program.process.stdout and program.process.stdout.read() == b"begun\n"
    assert time.monotonic() - started < 20


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_an_interruption_ends_the_program(tmp_path, number):
    ids = tmp_path / "ids"

    def interrupt() -> None:
        while not ids.exists() or len(ids.read_text().split()) < 2:
            time.sleep(0.05)
        os.kill(os.getpid(), number)

    thread = threading.Thread(target=interrupt)
    thread.start()
    with pytest.raises(KeyboardInterrupt):
        run_limited(_shell(f"sleep {SLEEP} & echo $$ $! > {ids}; wait"), SLEEP)
    thread.join()
    _check_ended(ids)


def test_a_program_that_is_stopped_ends_and_hangs_not(tmp_path):
    with Program(_shell(f"exec sleep {SLEEP}"), SLEEP) as program:
        program.stop()
        assert program.wait() == -signal.SIGTERM


def test_what_a_program_leaves_in_the_background_goes_on(tmp_path):
    """Credential helpers start agents, and Bazel its server."""
    ids = tmp_path / "ids"
    assert run_limited(_shell(f"sleep {SLEEP} & echo $! > {ids}"), LIMIT) == 0
    process = int(ids.read_text())
    assert _is_running(process)
    os.kill(process, signal.SIGKILL)


def test_the_last_lines_of_a_program_are_printable():
    with tempfile.TemporaryFile() as file:
        subprocess.run(_shell("seq 100000; printf 'a\\n\\n  b\\033[1m \\nc\\377\\n'"), stdout=file, check=True)
        assert format_last_lines(read_end(file)) == "a / b\\u001b[1m / c\ufffd"
    assert format_last_lines("\n \n") == ""
