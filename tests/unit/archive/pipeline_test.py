"""A pipeline hands on results in order, and stops at the first error of any thread."""

from __future__ import annotations

import threading
import time

import pytest

from rules_setcap.archive.pipeline import Pipeline


@pytest.mark.parametrize("threads", [1, 2, 8])
def test_results_are_in_order(threads):
    results: list[bytes] = []
    pipeline = Pipeline(results.append, threads)
    for number in range(100):
        # Later jobs end before earlier ones.
        pipeline.add_job(lambda number=number: time.sleep(0.003 if number % 7 == 0 else 0) or bytes([number]))
    pipeline.close()
    assert results == [bytes([number]) for number in range(100)]


@pytest.mark.parametrize("threads", [1, 4])
@pytest.mark.parametrize("at", [0, 5, 19])
@pytest.mark.parametrize("of", ["job", "finish"])
def test_an_error_stops_the_pipeline_and_is_raised(threads, at, of):
    """That holds for an error that occurs only once, too. No later result is handed on."""
    results: list[bytes] = []

    def finish(data: bytes) -> None:
        if of == "finish" and data[0] == at:
            raise OSError(5, "once")
        results.append(data)

    def job(number: int) -> bytes:
        if of == "job" and number == at:
            raise OSError(5, "once")
        return bytes([number])

    pipeline = Pipeline(finish, threads)
    with pytest.raises(OSError, match="once"):
        for number in range(20):
            pipeline.add_job(lambda number=number: job(number))
        pipeline.close()
    pipeline.abandon()
    assert results == [bytes([number]) for number in range(len(results))] and len(results) <= at
    assert threading.active_count() == 1
