"""The results of all benchmarks, and the file that keeps them: docs/benchmarks.json.

Each benchmark replaces its own results in the file, and writes the page and the pictures anew from all of them.
"""

from __future__ import annotations

import dataclasses
import json
import os
import pathlib
import platform
import re
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from measure import Pairs

MONOREPO_ROWS = (
    "cold build",
    "one program changed",
    "nothing changed",
    "analysis, cold server",
    "analysis, packages loaded",
    "heap for an image",
)
"""What monorepo.py measures, in the order of the table."""


@dataclasses.dataclass(frozen=True)
class Comparison:
    """The packer and a peer, measured in pairs.

    Attributes:
      ratio: the ratio of the wall times, ours to the peer's: median, least and greatest of the pairs.
      wall: seconds, ours and the peer's: medians.
      cpu: the median ratio of the processor times.
      memory: bytes, ours and the peer's: the highest peaks.
      size: bytes of the output, ours and the peer's.
    """

    ratio: Sequence[float]
    wall: Sequence[float]
    cpu: float
    memory: Sequence[int]
    size: Sequence[int]


def compare(pairs: Pairs) -> Comparison:
    """Summarizes the runs of two contenders."""
    ratios = sorted(pairs.compute_ratios())
    both = (pairs.ours, pairs.peer)
    return Comparison(
        [round(ratio, 3) for ratio in (statistics.median(ratios), ratios[0], ratios[-1])],
        [round(statistics.median(sample.wall for sample in samples), 3) for samples in both],
        round(pairs.compute_ratio("cpu"), 3),
        [max(sample.memory for sample in samples) for samples in both],
        [samples[-1].size for samples in both],
    )


@dataclasses.dataclass(frozen=True)
class Group:
    """The results of a job of the packer on a workload.

    Attributes:
      workload: the name of the workload.
      title: the title of the workload.
      ours: the name of the packer in this job.
      size: bytes of the workload.
      date: the day of the measurement.
      machine: from describe_machine().
      pairs: the number of pairs for each peer.
      peers: the comparisons by the name of the peer, or why there is none.
    """

    workload: str
    title: str
    ours: str
    size: int
    date: str
    machine: str
    pairs: int
    peers: Mapping[str, Comparison | str]

    def list_measured(self) -> dict[str, Comparison]:
        """Returns the comparisons with the peers that ran, by name."""
        return {name: peer for name, peer in self.peers.items() if isinstance(peer, Comparison)}


@dataclasses.dataclass(frozen=True)
class Monorepo:
    """The results of monorepo.py.

    Attributes:
      date: the day of the measurement.
      machine: from describe_machine().
      count: the number of services.
      values: for each of MONOREPO_ROWS the values of all rounds, by contender: seconds, or bytes of the heap.
    """

    date: str
    machine: str
    count: int
    values: Mapping[str, Mapping[str, Sequence[float]]]


@dataclasses.dataclass(frozen=True)
class Threads:
    """The results of threads.py.

    Attributes:
      date: the day of the measurement.
      machine: from describe_machine().
      size: bytes of the file.
      stages: seconds of the stages that one thread does, by name.
      processor: seconds of processor time on one CPU, by contender.
      times: seconds by contender and number of CPUs (as text), each run.
    """

    date: str
    machine: str
    size: int
    stages: Mapping[str, float]
    processor: Mapping[str, float]
    times: Mapping[str, Mapping[str, Sequence[float]]]


@dataclasses.dataclass(frozen=True)
class Results:
    """Everything that the page shows.

    Attributes:
      tools: the versions of the peers by name.
      groups: the comparisons of the packer with its peers.
      monorepo, threads: the results of these programs; None if they have not run.
    """

    tools: Mapping[str, str] = dataclasses.field(default_factory=dict)
    groups: Sequence[Group] = ()
    monorepo: Monorepo | None = None
    threads: Threads | None = None


def read_results(directory: pathlib.Path) -> Results:
    """Reads benchmarks.json of a directory; returns empty results if it does not exist."""
    file = directory / "benchmarks.json"
    return parse_results(json.loads(file.read_text())) if file.exists() else Results()


def parse_results(value: Any) -> Results:
    """Makes results of what dataclasses.asdict() makes of them."""
    groups = [
        Group(
            **{
                **group,
                "peers": {name: peer if isinstance(peer, str) else Comparison(**peer) for name, peer in group["peers"].items()},
            }
        )
        for group in value["groups"]
    ]
    monorepo = Monorepo(**value["monorepo"]) if value["monorepo"] else None
    threads = Threads(**value["threads"]) if value["threads"] else None
    return Results(value["tools"], groups, monorepo, threads)


def write_results(directory: pathlib.Path, results: Results) -> None:
    """Writes benchmarks.json in a directory."""
    directory.mkdir(parents=True, exist_ok=True)
    text = json.dumps(dataclasses.asdict(results), indent=1)
    # A list of numbers stays on one line.
    text = re.sub(r"\[[^][{}]*\]", lambda numbers: " ".join(numbers[0].split()), text)
    (directory / "benchmarks.json").write_text(text + "\n")


def replace_groups(old: Sequence[Group], new: Sequence[Group]) -> list[Group]:
    """Returns the groups in which those of the workloads that were measured again are replaced, in the order of the old ones."""
    measured = {group.workload for group in new}
    kept = [group.workload for group in old]
    result: list[Group] = []
    for name in dict.fromkeys([*kept, *(group.workload for group in new)]):
        result += [group for group in (new if name in measured else old) if group.workload == name]
    return result


def describe_machine() -> str:
    """Describes the machine."""
    kernel = platform.release().partition("-")[0]
    model = _read_field("/proc/cpuinfo", "model name") or platform.machine()
    memory = int(_read_field("/proc/meminfo", "MemTotal").removesuffix("kB") or 0) >> 20
    return f"{len(os.sched_getaffinity(0))} cores of {model}, {memory} GiB of memory, Linux {kernel}"


def _read_field(path: str, name: str) -> str:
    """Returns the first value of a name in a file with lines of `name : value`; "" if there is none."""
    try:
        lines = pathlib.Path(path).read_text().splitlines()
    except OSError:
        return ""
    return next((line.partition(":")[2].strip() for line in lines if line.startswith(name)), "")
