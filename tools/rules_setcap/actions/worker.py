"""A persistent worker of Bazel: one interpreter for many actions.

A request is a line of JSON on stdin, a response one on stdout ("Creating persistent
workers" in Bazel's documentation; the fields are those of worker_protocol.proto). The
worker holds nothing between requests, so that an action gives the same bytes in it as
by itself. One after the other: an interpreter does one thing at a time, and a large
layer has threads of its own.
"""

from __future__ import annotations

import functools
import json
import os
import signal
import sys
import threading
from queue import SimpleQueue

from rules_setcap.diagnostics.errors import INTERNAL, internal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, Mapping

    Run = Callable[[list[str], Callable[[], Mapping[str, str]]], tuple[int, str]]
    """Takes the arguments of an action, and a function that returns the digests of its inputs by path; returns the exit
    code and the text for stderr."""

# Bazel maps the paths of a worker that is not sandboxed, too, and then they are nowhere.
_UNMAPPED = "With --experimental_output_paths=strip, Bazel's workers need --worker_sandboxing.\n"


def serve_requests(run: Run) -> int:
    """Serves requests one after the other until stdin ends; returns the exit code.

    Args:
      run: runs the subcommand of a request.
    """
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    # Nothing that prints must come between the answers.
    os.dup2(2, 1)
    requests = _Requests()
    while (request := requests.next()) is not None:
        answer = {"requestId": request.get("requestId", 0), **_answer(run, requests, request)}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()
    return 0


def _answer(run: Run, requests: _Requests, request: Any) -> dict[str, Any]:
    try:
        try:
            requests.begin(request)
            status, said = run(request["arguments"], functools.cache(lambda: _digests(request)))
        except Exception as error:  # An invalid request ends one action, not the worker.
            status, said = INTERNAL, internal(error) + "\n"
        requests.done()
    except _Cancelled:
        return {"wasCancelled": True}
    if status and "bazel-out/cfg/" in said:
        said += _UNMAPPED
    return {"exitCode": status, "output": said}


def _digests(request: Any) -> dict[str, str]:
    """Returns the digests of a request's inputs by path."""
    return {each["path"]: each["digest"] for each in request.get("inputs", ()) if each.get("digest")}


class _Cancelled(BaseException):
    """Raised in the midst of a request that Bazel no longer wants."""


class _Requests:
    """The requests on stdin, of which Bazel may cancel the last: what it says of others comes too late."""

    def __init__(self) -> None:
        self._queue: SimpleQueue[Any] = SimpleQueue()
        self._last: Any = None
        self._running: Any = None
        self._cancelled: Any = None
        signal.signal(signal.SIGUSR1, self._interrupt)
        threading.Thread(target=self._read, daemon=True).start()

    def next(self) -> Any:
        """The next request; None after the last."""
        return self._queue.get()

    def begin(self, request: Any) -> None:
        """From here on it may be interrupted, by _Cancelled."""
        self._running = request
        self._interrupt()

    def done(self) -> None:
        """It is not interrupted any more."""
        self._running = None

    def _read(self) -> None:
        for line in sys.stdin.buffer:
            request = json.loads(line)
            if request.get("cancel"):
                self._cancelled = self._last
                signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGUSR1)
            else:
                self._last = request
                self._queue.put(request)
        self._queue.put(None)

    def _interrupt(self, *_: object) -> None:
        """In the main thread, between two of its steps."""
        if self._running is not None and self._running is self._cancelled:
            self._running = None
            raise _Cancelled
