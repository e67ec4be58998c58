"""A persistent worker of Bazel: one interpreter for many actions.

A request is a line of JSON on stdin, a response one on stdout ("Creating persistent
workers" in Bazel's documentation; the fields are those of worker_protocol.proto). The
worker holds nothing between requests, so that an action gives the same bytes in it as
by itself.
"""

from __future__ import annotations

import json
import os
import sys
import traceback

from .cli import run

# Bazel maps the paths of a worker that is not sandboxed, too, and then they are nowhere.
_UNMAPPED = "\nWith --experimental_output_paths=strip, Bazel's workers need --worker_sandboxing."


def serve() -> int:
    """Serves requests one after the other until stdin ends; returns the exit code."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    # Nothing that prints must come between the answers.
    os.dup2(2, 1)
    for line in sys.stdin.buffer:
        request = json.loads(line)
        try:
            status, said = run(request["arguments"])
        except Exception:  # A bug of ours is one action's, not the end of the worker.
            status, said = 3, traceback.format_exc()
        if status and "bazel-out/cfg/" in said:
            said += _UNMAPPED
        answer = {"exitCode": status, "output": said, "requestId": request.get("requestId", 0)}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()
    return 0
