"""Formats the results as Markdown and as a plot."""

from __future__ import annotations

import dataclasses
import os
import pathlib
import platform
import statistics
from collections.abc import Iterator, Mapping, Sequence
from xml.sax.saxutils import escape

import contenders
from measure import Pairs, Sample

SMALL_BASE = "the same over a base of 10 kB"


@dataclasses.dataclass(frozen=True)
class Group:
    """The results of a job of the packer on a workload.

    Attributes:
      workload: the name of the workload.
      title: the title of the workload.
      ours: the name of the packer in this job.
      size: bytes of the workload.
      peers: the measurements by the name of the peer, or why there are none.
    """

    workload: str
    title: str
    ours: str
    size: int
    peers: Mapping[str, Pairs | str]

    def list_measured(self) -> dict[str, Pairs]:
        """Returns the measurements of the peers that ran, by name."""
        return {name: pairs for name, pairs in self.peers.items() if isinstance(pairs, Pairs)}


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


def _write_goals(groups: Sequence[Group]) -> Iterator[str]:
    """Yields the rows of the table of goals."""
    by_name = {(group.workload, group.ours): group.peers for group in groups}
    for goal in _GOALS:
        pairs = by_name.get((goal.workload, goal.ours), {}).get(goal.peer, "not measured")
        reach = f"≥ {goal.bound:g} ×" if goal.faster else f"≤ {goal.bound:g} ×"
        if isinstance(pairs, str):
            yield f"| {goal.what} | {reach} | {pairs} |"
            continue
        ratios = sorted(1 / ratio if goal.faster else ratio for ratio in pairs.compute_ratios())
        yield f"| {goal.what} | {reach} | {statistics.median(ratios):.2f} × ({ratios[0]:.2f} to {ratios[-1]:.2f}) |"
    highest = [(_find_peak_memory(pairs.ours), group) for group in groups for pairs in group.list_measured().values()]
    if highest:
        memory, group = max(highest, key=lambda pair: pair[0])
        most = f"{memory / (1 << 20):.0f} MiB ({group.title}: {group.ours})"
        yield f"| peak memory of all runs | ≤ {_MEMORY >> 20} MiB | {most} |"


def _find_peak_memory(samples: Sequence[Sample]) -> int:
    return max(sample.memory for sample in samples)


def _compute_median(samples: Sequence[Sample], what: str) -> float:
    return float(statistics.median(getattr(sample, what) for sample in samples))


def describe_machine(versions: Mapping[str, str], pairs: int, seconds: int) -> str:
    """Describes the machine, the tools and the measurement."""
    kernel = platform.release().partition("-")[0]
    model = _read_field("/proc/cpuinfo", "model name") or platform.machine()
    memory = int(_read_field("/proc/meminfo", "MemTotal").removesuffix("kB") or 0) >> 20
    where = f"{len(os.sched_getaffinity(0))} cores of {model}, {memory} GiB of memory, Linux {kernel}."
    tools = "; ".join(f"{name}: {version}" for name, version in versions.items())
    return f"{where} {pairs} pairs each, {-(-seconds // 60)} min in all.\n\nTools: {tools}."


def _read_field(path: str, name: str) -> str:
    """Returns the first value of a name in a file with lines of `name : value`; "" if there is none."""
    try:
        lines = pathlib.Path(path).read_text().splitlines()
    except OSError:
        return ""
    return next((line.partition(":")[2].strip() for line in lines if line.startswith(name)), "")


_TEXT = """\
# Benchmarks

This page compares the packer with other programs, its peers, on the same files in the same run. Times are ratios of our time to
the peer's: below 1, the packer is faster.

![Time of each peer, relative to the packer](benchmarks.svg)

| measurement | goal | result |
|---|---|---|
{goals}

{machine}

To repeat it:

    ./bazelw run //tests/bench --{options} --output docs/

`gzip` is the default of the rules, by libdeflate; `zlib` is gzip by zlib, which a flag chooses
([Layers](layers.md#compression)).

## Method

The packer runs as in an action: with an isolated interpreter, without `.pyc` files, and in one process unless the table says
otherwise. For each peer, both programs run once to fill the page cache, and then alternately: the packer, the peer, the packer, the
peer. Each pair gives a ratio. The tables show the median of the ratios, with the lowest and the highest.

- Time is the wall time of the command with all its children. Processor time is their user and system time.
- Memory is the peak of the largest process. Less than {own} MiB cannot be measured, because the program that starts the processes uses
  that much itself.
- The files are in the page cache. The output is removed before the next run.
- Before each run, the benchmark allocates as much memory as the run needs, holds it for two seconds and frees it. A virtual machine
  returns memory to its host two seconds after it was freed, and getting 1 GiB back costs the next process seconds of processor
  time.
- The binaries consist of the interpreter's own machine code, repeated with other bytes each time, so that they compress as a binary
  does.

Some peers do less than the packer, which computes `diff_id` and digest: GNU tar and bsdtar in rows with "no digest", and rules_pkg,
which computes none. Some peers do more: umoci, crane and ko also make a manifest and a config, as the packer does in the rows about
assembling. ko also runs Go, which builds a program from its cache, and packs it; the row without files shows how long that takes.
rules_img reads each file twice, because it writes files of equal content as hard links. It runs in two of Bazel's compilation modes:
fastbuild, the default, sets level 1, and dbg sets none.

Times of different sizes are hard to compare. A peer whose gzip blobs are larger than those of the packer's default is compared with
that, and with `gzip 1`, whose size is closest to it. No result makes a test fail.

## All results
"""


def write_markdown(groups: Sequence[Group], machine: str, options: str) -> str:
    """Returns the page.

    Args:
      groups: the results.
      machine: from describe_machine().
      options: the flags with which the benchmark has run.
    """
    least = min(
        (sample.memory for group in groups for pairs in group.list_measured().values() for sample in pairs.peer), default=0
    )
    parts = [_TEXT.format(goals="\n".join(_write_goals(groups)), machine=machine, options=options, own=least >> 20)]
    missing: dict[str, str] = {}
    title = ""
    for group in groups:
        if group.title != title:
            title = group.title
            parts.append(f"### {title[0].upper()}{title[1:]}\n")
        measured = group.list_measured()
        missing |= {name: why for name, why in group.peers.items() if isinstance(why, str)}
        if measured:
            parts.append("\n".join(_write_table(group, measured)) + "\n")
    if missing:
        rows = "\n".join(f"- {name}: {why}" for name, why in missing.items())
        parts.append(f"## Not measured\n\n{rows}\n")
    return "\n".join(parts)


def _write_table(group: Group, measured: Mapping[str, Pairs]) -> Iterator[str]:
    """Yields the lines of the table of a job."""
    heads = ["time", "ours", "peer's", "processor", "memory, ours", "peer's", "size, ours", "peer's"]
    yield f"| {group.ours}, and | {' | '.join(heads)} |"
    yield "|---|---" + "|--:" * (len(heads) - 1) + "|"
    for name, pairs in measured.items():
        ratios = sorted(pairs.compute_ratios())
        cells = [
            name.replace("|", "\\|"),
            f"**{pairs.compute_ratio():.2f}** ({ratios[0]:.2f} to {ratios[-1]:.2f})",
            f"{_compute_median(pairs.ours, 'wall'):.2f} s",
            f"{_compute_median(pairs.peer, 'wall'):.2f} s",
            f"{pairs.compute_ratio('cpu'):.2f}",
            f"{_find_peak_memory(pairs.ours) / (1 << 20):.0f} MiB",
            f"{_find_peak_memory(pairs.peer) / (1 << 20):.0f} MiB",
            _format_size(group, pairs.ours),
            _format_size(group, pairs.peer),
        ]
        yield f"| {' | '.join(cells)} |"


def _format_size(group: Group, samples: Sequence[Sample]) -> str:
    """Returns the size of the output: for large workloads, as a percentage of the workload."""
    size = _compute_median(samples, "size")
    if not size:
        return ""
    return f"{size / group.size:.1%}" if group.size > 1e6 and size < group.size else f"{size / 1e6:.1f} MB"


# The plot has a bar for each peer. Its length is the time of the peer, with that of the packer as the unit.
_LABELS, _UNIT, _LONGEST, _ROW, _BAR = 290, 110, 4.5, 19, 13
_WIDTH = round(_LABELS + _LONGEST * _UNIT + 80)
_OURS, _PEER, _GRID, _INK, _FAINT = "#c2410c", "#94a3b8", "#e2e8f0", "#1e293b", "#64748b"


def draw_plot(groups: Sequence[Group]) -> str:
    """Returns the plot as SVG."""
    body: list[str] = []
    y = 58
    text = _format_svg_text
    title = ""
    for group in groups:
        measured = group.list_measured()
        if not measured:
            continue
        if group.title != title:
            title = group.title
            y += 20
            body.append(text(16, y, f"{title[0].upper()}{title[1:]}", weight="bold"))
            y += 8
        bars = [(group.ours, 1.0, _OURS)]
        bars += [
            (name, statistics.median(1 / ratio for ratio in pairs.compute_ratios()), _PEER) for name, pairs in measured.items()
        ]
        for name, length, colour in bars:
            shown = min(length, _LONGEST)
            width = shown * _UNIT
            weight = "bold" if colour == _OURS else "normal"
            ours = _OURS if colour == _OURS else _INK
            body.append(text(_LABELS - 8, y + _BAR - 2.5, name, anchor="end", fill=ours, weight=weight))
            body.append(f'<rect x="{_LABELS}" y="{y}" width="{width:.1f}" height="{_BAR}" rx="2" fill="{colour}"/>')
            if shown < length:
                # Two strokes mark a bar that is cut off.
                left, stroke_height = _LABELS + width - 22, _BAR + 4
                strokes = f"M{left} {y + _BAR + 2}l6 -{stroke_height}m4 0l-6 {stroke_height}"
                body.append(f'<path d="{strokes}" stroke="#fff" stroke-width="2.5"/>')
            body.append(text(_LABELS + width + 6, y + _BAR - 2.5, f"{length:.2f}", fill=ours, weight=weight))
            y += _ROW
        y += 6
    height = y + 14
    grid = []
    for number in range(1, int(_LONGEST) + 1):
        x = _LABELS + number * _UNIT
        look = f'stroke="{_OURS}" stroke-dasharray="3"' if number == 1 else f'stroke="{_GRID}"'
        grid.append(f'<path d="M{x} 54V{height - 14}" {look}/>')
        grid.append(text(x, 48, f"{number} ×", anchor="middle", fill=_FAINT))
    size = f'viewBox="0 0 {_WIDTH} {height}" width="{_WIDTH}" height="{height}"'
    head = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} font-family="system-ui, sans-serif" font-size="12">',
        f'<rect width="{_WIDTH}" height="{height}" fill="#fff"/>',
        text(16, 26, "Wall time relative to the packer (shorter is faster)", weight="bold", size=15),
    ]
    return "\n".join([*head, *grid, *body, "</svg>"]) + "\n"


def _format_svg_text(
    x: float, y: float, text: str, *, anchor: str = "start", fill: str = _INK, weight: str = "normal", size: int = 12
) -> str:
    look = f'text-anchor="{anchor}" fill="{fill}" font-weight="{weight}" font-size="{size}"'
    return f'<text x="{x:g}" y="{y:g}" {look}>{escape(text)}</text>'
