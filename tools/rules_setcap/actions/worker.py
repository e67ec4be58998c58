"""Serves actions as a persistent worker of Bazel: one interpreter runs many actions.

A request is a line of JSON on stdin, a response a line on stdout ("Creating persistent workers" in Bazel's documentation; the
fields are those of worker_protocol.proto). The worker keeps nothing between requests, so an action has the same output as in a
process of its own. It runs one request after the other: the GIL lets one run at a time anyway, and a large layer has threads of
its own.
"""

from __future__ import annotations

import functools
import json
import os
import signal
import sys
import threading
from queue import SimpleQueue
from typing import TYPE_CHECKING

from rules_setcap.diagnostics.errors import INTERNAL, format_internal_error

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

    RunAction = Callable[[list[str], Callable[[], Mapping[str, str]]], tuple[int, str]]
    """Takes the arguments of an action, and a function that returns the digest of each input by path; returns the exit code and
    the output for stderr. command.run_action() is such a function."""

# Bazel also maps the paths of a worker that is not sandboxed, where the mapped paths do not exist.
_SANDBOX_HINT = "With --experimental_output_paths=strip, Bazel's workers need --worker_sandboxing.\n"


def serve_requests(run_action: RunAction) -> int:
    """Serves requests one after the other until stdin ends, and returns the exit code.

    Args:
      run_action: runs the action of a request.
    """
    responses = os.fdopen(os.dup(1), "w", encoding="utf-8")
    # Code that prints to stdout must not write between the responses.
    os.dup2(2, 1)
    requests = _Requests()
    while (request := requests.get_next()) is not None:
        response = {"requestId": request.get("requestId", 0), **_serve_request(run_action, requests, request)}
        responses.write(json.dumps(response) + "\n")
        responses.flush()
    return 0


def _serve_request(run_action: RunAction, requests: _Requests, request: Any) -> dict[str, Any]:
    """Runs the action of one request; returns the response without its ID."""
    try:
        try:
            requests.begin(request)
            status, output = run_action(request["arguments"], functools.cache(lambda: _read_digests(request)))
        except Exception as error:  # An invalid request must not end the worker.
            status, output = INTERNAL, format_internal_error(error) + "\n"
        requests.finish()
    except _Cancelled:
        return {"wasCancelled": True}
    if status and "bazel-out/cfg/" in output:
        output += _SANDBOX_HINT
    return {"exitCode": status, "output": output}


def _read_digests(request: Any) -> dict[str, str]:
    """Returns the digest of each input of a request by path."""
    return {item["path"]: item["digest"] for item in request.get("inputs", ()) if item.get("digest")}


class _Cancelled(BaseException):
    """Interrupts a request that Bazel has cancelled."""


class _Requests:
    """The requests on stdin. A cancellation has an effect only for the request that was read last."""

    def __init__(self) -> None:
        self._queue: SimpleQueue[Any] = SimpleQueue()
        self._last: Any = None
        self._running: Any = None
        self._cancelled: Any = None
        signal.signal(signal.SIGUSR1, self._interrupt)
        threading.Thread(target=self._read_requests, daemon=True).start()

    def get_next(self) -> Any:
        """Waits for the next request and returns it; None after the last."""
        return self._queue.get()

    def begin(self, request: Any) -> None:
        """Starts a request: from here on, _Cancelled may interrupt it."""
        self._running = request
        self._interrupt()

    def finish(self) -> None:
        """Ends the running request: it is not interrupted any more."""
        self._running = None

    def _read_requests(self) -> None:
        """Reads stdin in a thread of its own."""
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
        """Raises _Cancelled if the running request was cancelled. Signals call this in the main thread, between two instructions."""
        if self._running is not None and self._running is self._cancelled:
            self._running = None
            raise _Cancelled
