"""Formats results as tables of Markdown."""

from __future__ import annotations

import dataclasses
import statistics
from collections.abc import Iterator, Mapping, Sequence

import contenders
from results import MONOREPO_ROWS, Comparison, Group, Monorepo, Threads

SMALL_BASE = "the same over a base of 10 kB"


@dataclasses.dataclass(frozen=True)
class _Goal:
    """A goal: the packer needs at most `bound` of the time of a peer, or the peer at least `bound` of that of the packer."""

    what: str
    workload: str
    ours: str
    peer: str
    bound: float
    faster: bool = False


_PLAIN, _GZIP, _ZSTD = "rules_setcap (tar)", "rules_setcap (gzip 5)", "rules_setcap (zstd 3)"
_GZIP_1, _ZLIB = "rules_setcap (gzip 1)", "rules_setcap (zlib 5)"
_ONE_THREAD = "rules_setcap (gzip 5, 1 thread)"
_LARGE, _SMALL, _BINARY = "binary-1g", "small-files", "binary-120m"
_GOALS = (
    _Goal("tar of 1 GiB with its diff_id, to reading, hashing and writing the file", _LARGE, _PLAIN, contenders.FLOOR, 1.15),
    _Goal("the same, to `tar \\| tee \\| sha256sum`", _LARGE, _PLAIN, "tar | tee | sha256sum", 1.0),
    _Goal("20,000 small files, to GNU tar and sha256sum", _SMALL, _PLAIN, "GNU tar, then sha256sum", 1.3),
    _Goal("20,000 small files, to rules_pkg", _SMALL, _PLAIN, "rules_pkg", 0.5),
    _Goal("100,000 empty files, to GNU tar and sha256sum", "empty-files", _PLAIN, "GNU tar, then sha256sum", 1.4),
    _Goal("gzip, faster than itself on one thread", _BINARY, _GZIP, _ONE_THREAD, 1.7, True),
    _Goal("gzip, faster than one thread of zlib", _BINARY, _GZIP, contenders.compress_on_one_thread("gzip").name, 1.7, True),
    _Goal("gzip, to pigz", _BINARY, _GZIP, "tar | pigz -6", 1.0),
    _Goal("gzip, faster than the program gzip", _BINARY, _GZIP, "tar | gzip -6", 3.0, True),
    _Goal("gzip, faster than rules_pkg", _BINARY, _GZIP, contenders.run_rules_pkg("gzip").name, 3.0, True),
    _Goal("gzip 1, to umoci, at the same size", _BINARY, _GZIP_1, "umoci insert (gzip)", 1.0),
    _Goal("gzip 1, to rules_img, at the same size", _BINARY, _GZIP_1, "rules_img (gzip, dbg)", 1.0),
    _Goal("gzip by zlib, faster than itself on one thread", _BINARY, _ZLIB, f"{_ZLIB[:-1]}, 1 thread)", 1.7, True),
    _Goal("zstd of 1 GiB, to zstd of an existing tar", _LARGE, _ZSTD, contenders.ZSTD_READY, 1.15),
    _Goal("assembling over a base of 2 GiB, to the same over 10 kB", "base", contenders.ASSEMBLY, SMALL_BASE, 1.1),
)
_MEMORY = 64 << 20


def write_goals(groups: Sequence[Group]) -> Iterator[str]:
    """Yields the rows of the table of goals."""
    by_name = {(group.workload, group.ours): group.peers for group in groups}
    for goal in _GOALS:
        peer = by_name.get((goal.workload, goal.ours), {}).get(goal.peer, "not measured")
        reach = f"≥ {goal.bound:g} ×" if goal.faster else f"≤ {goal.bound:g} ×"
        if isinstance(peer, str):
            yield f"| {goal.what} | {reach} | {peer} |"
            continue
        median, least, greatest = (1 / peer.ratio[at] for at in (0, 2, 1)) if goal.faster else peer.ratio
        yield f"| {goal.what} | {reach} | {median:.2f} × ({least:.2f} to {greatest:.2f}) |"
    highest = [(peer.memory[0], group) for group in groups for peer in group.list_measured().values()]
    if highest:
        memory, group = max(highest, key=lambda pair: pair[0])
        yield f"| peak memory of all runs | ≤ {_MEMORY >> 20} MiB | {_format_memory(memory)} ({group.title}: {group.ours}) |"


def write_groups(groups: Sequence[Group]) -> Iterator[str]:
    """Yields the tables of all groups, with a heading for each workload, and then the list of the peers that did not run."""
    missing: dict[str, str] = {}
    title = ""
    for group in groups:
        if group.title != title:
            title = group.title
            yield f"### {title[0].upper()}{title[1:]}\n"
            yield f"Measured on {group.date}, {group.pairs} pairs, on {group.machine}.\n"
        measured = group.list_measured()
        missing |= {name: why for name, why in group.peers.items() if isinstance(why, str)}
        if measured:
            yield "\n".join(_write_group(group, measured)) + "\n"
    if missing:
        yield "### Not measured\n"
        yield "\n".join(f"- {name}: {why}" for name, why in missing.items()) + "\n"


def _write_group(group: Group, measured: Mapping[str, Comparison]) -> Iterator[str]:
    """Yields the lines of the table of a job."""
    heads = ["time", "ours", "peer's", "processor", "memory, ours", "peer's", "size, ours", "peer's"]
    yield f"| {group.ours}, and | {' | '.join(heads)} |"
    yield "|---|---" + "|--:" * (len(heads) - 1) + "|"
    for name, peer in measured.items():
        median, least, greatest = peer.ratio
        cells = [
            name.replace("|", "\\|"),
            f"**{median:.2f}** ({least:.2f} to {greatest:.2f})",
            *(f"{wall:.2f} s" for wall in peer.wall),
            f"{peer.cpu:.2f}",
            *map(_format_memory, peer.memory),
            *(_format_size(group, size) for size in peer.size),
        ]
        yield f"| {' | '.join(cells)} |"


def _format_memory(size: float) -> str:
    return f"{size / (1 << 20):.0f} MiB"


def _format_size(group: Group, size: float) -> str:
    """Returns the size of the output: for large workloads, as a percentage of the workload."""
    if not size:
        return ""
    return f"{size / group.size:.1%}" if group.size > 1e6 and size < group.size else f"{size / 1e6:.1f} MB"


def write_monorepo(monorepo: Monorepo) -> Iterator[str]:
    """Yields the lines of the table of a monorepo."""
    ours, *peers = monorepo.values[MONOREPO_ROWS[0]]
    yield f"| {monorepo.count:,} images | {ours} | {' | '.join(f'{name} | ours to it' for name in peers)} |"
    yield "|---|--:" + "|--:|---" * len(peers) + "|"
    for row in MONOREPO_ROWS:
        values = monorepo.values[row]
        cells = [_format_value(row, values[ours])]
        for name in peers:
            ratios = sorted(ours / max(theirs, 1e-9) for ours, theirs in zip(values[ours], values[name], strict=True))
            median = statistics.median(ratios)
            # Bazel gives the heap in megabytes, so that a small difference says nothing.
            ratio = f"**{median:.2f}** ({ratios[0]:.2f} to {ratios[-1]:.2f})" if values[name][0] > 0 < ratios[0] else ""
            cells += [_format_value(row, values[name]), ratio]
        yield f"| {row} | {' | '.join(cells)} |"


def _format_value(row: str, values: Sequence[float]) -> str:
    """Returns the median of some values, in seconds or bytes of the heap."""
    value = statistics.median(values)
    return f"{value / 1000:.0f} kB" if row.startswith("heap") else f"{value:.2f} s"


_PGZIP = "pgzip"
_COMPUTED = (4, 16)  # Numbers of CPUs.


def write_threads(threads: Threads) -> Iterator[str]:
    """Yields the lines of the table of compression on several CPUs: measured, and computed for more."""
    counts = list(next(iter(threads.times.values())))
    heads = [f"{count} CPU{'s' if count != '1' else ''}" for count in counts]
    yield f"| | {' | '.join(heads)} | processor time | one thread | {' | '.join(f'{n} CPUs, computed' for n in _COMPUTED)} |"
    yield "|---" + "|--:" * (len(counts) + 2 + len(_COMPUTED)) + "|"
    for name, times in threads.times.items():
        start, serial = _find_serial_part(name, threads.stages)
        parallel = threads.processor[name] - start
        cells = [f"{statistics.median(times[count]):.2f} s" if count in times else "" for count in counts]
        cells += [f"{parallel:.2f} s", f"{serial:.2f} s"]
        cells += [f"{max(serial, parallel / count):.2f} s" for count in _COMPUTED]
        yield f"| {name} | {' | '.join(cells)} |"


def _find_serial_part(name: str, stages: Mapping[str, float]) -> tuple[float, float]:
    """Returns the seconds that a contender takes to start, and those of its slowest stage that one thread does."""
    if name == _PGZIP:
        return 0, stages["reading and hashing by pgzip's program"]
    if name.startswith("rules_setcap"):
        return stages["start"], max(stages["reading"], stages["hashing the tar"], stages["hashing and writing the blob"])
    return 0, stages["sha256sum of the tar"]
