"""Draws results as SVG that is readable on light and dark pages."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from xml.sax.saxutils import escape

from results import MONOREPO_ROWS, Group, Results

_STYLE = """\
<style>
text { fill: #1e293b; font: 12px system-ui, sans-serif } .faint { fill: #64748b } .bold { font-weight: bold }
.paper { fill: #fff } .grid { stroke: #e2e8f0 } .peer { fill: #94a3b8 } .ours { fill: #c2410c } .one { stroke: #c2410c }
.cut { stroke: #fff; stroke-width: 2.5 } .third { fill: #0e7490 } .fourth { fill: #7c3aed } .fifth { fill: #4d7c0f }
@media (prefers-color-scheme: dark) {
text { fill: #e2e8f0 } .faint { fill: #94a3b8 } .paper { fill: #0f172a } .grid { stroke: #334155 } .peer { fill: #64748b }
.ours { fill: #fb923c } .one { stroke: #fb923c } .cut { stroke: #0f172a } .third { fill: #22d3ee } .fourth { fill: #a78bfa }
.fifth { fill: #a3e635 }
}
</style>"""


def _draw_text(x: float, y: float, text: str, look: str = "", anchor: str = "start") -> str:
    return f'<text x="{x:.4g}" y="{y:.5g}" class="{look}" text-anchor="{anchor}">{escape(text)}</text>'


def _finish(width: float, height: float, parts: Sequence[str]) -> str:
    head = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height:g}" width="{width:g}" height="{height:g}">',
        _STYLE,
        f'<rect width="{width:g}" height="{height:g}" class="paper"/>',
    ]
    return "\n".join([*head, *parts, "</svg>"]) + "\n"


# The overview: two panels side by side.
_PANEL, _HEIGHT, _MARGIN = 500, 470, 48


def draw_overview(results: Results) -> str:
    """Returns the picture of size and time of compressed layers, and of the time for many images."""
    parts = _draw_sizes([group for group in results.groups if group.workload == "binary-120m"])
    if results.monorepo:
        parts += _draw_monorepo(results)
    return _finish(2 * _PANEL if results.monorepo else _PANEL, _HEIGHT, parts)


def _draw_sizes(groups: Sequence[Group]) -> list[str]:
    """Draws each gzip and zstd of the binary of 120 MB as a point."""
    points: dict[str, tuple[float, float]] = {}
    for group in groups:
        if "(tar)" in group.ours:
            continue
        for name, peer in group.list_measured().items():
            if "1 thread" in name or "without files" in name:
                continue
            for who, at in ((group.ours, 0), (name, 1)):
                points[who] = (peer.wall[at], 100 * peer.size[at] / group.size)
    if not points:
        return []
    slowest, largest = (max(point[axis] for point in points.values()) for axis in (0, 1))
    fastest, smallest = (min(point[axis] for point in points.values()) for axis in (0, 1))
    left, right, top, bottom = _MARGIN, _PANEL - 30, 70, _HEIGHT - 50
    scale = (right - left - 50) / max(math.log(slowest / fastest), 1)
    low, high = math.floor(smallest) - 1, math.ceil(largest) + 1

    def place(seconds: float, percent: float) -> tuple[float, float]:
        return left + 25 + scale * math.log(seconds / fastest), bottom - (percent - low) * (bottom - top) / (high - low)

    parts = [
        _draw_text(16, 26, "A binary of 120 MB: size and time", "bold"),
        _draw_text(16, 44, "circles: gzip, squares: zstd; down is smaller, left is faster", "faint"),
        _draw_text(right, _HEIGHT - 14, "seconds", "faint", "end"),
    ]
    for percent in range(low, high + 1, 2):
        y = place(fastest, percent)[1]
        parts += [
            f'<path d="M{left} {y:.1f}H{right}" class="grid"/>',
            _draw_text(left - 6, y + 4, f"{percent} %", "faint", "end"),
        ]
    for seconds in (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50):
        x = place(seconds, low)[0]
        if left <= x <= right:
            parts.append(_draw_text(x, bottom + 18, f"{seconds:g}", "faint", "middle"))
    placed: list[tuple[float, float, float, float]] = [
        (x - 6, y - 6, x + 6, y + 6) for x, y in (place(*point) for point in points.values())
    ]
    # Ours first, so that their labels get the best places.
    for name, point in sorted(points.items(), key=lambda item: "rules_setcap" not in item[0]):
        look = "ours" if name.startswith("rules_setcap") else "peer"
        x, y = place(*point)
        mark = (
            f'<rect x="{x - 5:.1f}" y="{y - 5:.1f}" width="10" height="10"'
            if "zstd" in name
            else f'<circle cx="{x:.1f}" cy="{y:.1f}" r="5"'
        )
        parts.append(f'{mark} class="{look}"/>')
        parts.append(
            _place_label(name.removeprefix("rules_setcap ").strip("()") if look == "ours" else name, x, y, look, placed, right)
        )
    return parts


def _place_label(name: str, x: float, y: float, look: str, placed: list[tuple[float, float, float, float]], right: float) -> str:
    """Draws the label of a point where nothing else is, and adds its place to `placed`."""
    width = 6.2 * len(name)
    places = [
        (x + dx, y + dy, anchor)
        for dy in (4, 18, -10, 30, -22, 42, -34)
        for dx, anchor in ((9, "start"), (-9, "end"), (0, "middle"))
    ]
    for at, base, anchor in places:
        start = at - {"start": 0, "end": width, "middle": width / 2}[anchor]
        box = (start, base - 10, start + width, base + 3)
        if (
            start > _MARGIN
            and box[2] < right + 20
            and not any(box[0] < other[2] and other[0] < box[2] and box[1] < other[3] and other[1] < box[3] for other in placed)
        ):
            break
    placed.append(box)
    return _draw_text(at, base, name, "bold ours" if look == "ours" else "", anchor)


_CLASSES = ("ours", "peer", "third", "fourth", "fifth")


def _draw_monorepo(results: Results) -> list[str]:
    """Draws the times for many images as bars, with ours as the unit of each row."""
    monorepo = results.monorepo
    assert monorepo
    names = list(monorepo.values[MONOREPO_ROWS[0]])
    left, unit, longest = _PANEL + 20, 75, 4.8
    parts = [
        _draw_text(left, 26, f"{monorepo.count:,} images in Bazel: time", "bold"),
        _draw_text(left, 44, "shorter is faster; in each row, the time of rules_setcap is the unit", "faint"),
    ]
    bar = min(15.0, (_HEIGHT - 90) / (len(MONOREPO_ROWS) - 1) / (len(names) + 1.8))
    y = 62.0
    for row in MONOREPO_ROWS:
        if row.startswith("heap"):
            continue
        values = {name: statistics.median(monorepo.values[row][name]) for name in names}
        parts.append(_draw_text(left, y + 10, row, "bold"))
        y += 15
        for name, look in zip(names, _CLASSES, strict=False):
            length = values[name] / max(values[names[0]], 1e-9)
            parts += _draw_bar(left, y, unit, bar - 2, length, longest, look)
            end = left + unit * min(length, longest) + 6
            parts.append(_draw_text(end, y + bar - 3.5, f"{values[name]:.1f} s, {name}", "bold ours" if look == "ours" else ""))
            y += bar
        y += 8
    return parts


def _draw_bar(x: float, y: float, unit: float, height: float, length: float, longest: float, look: str) -> list[str]:
    """Draws a bar; two strokes mark one that is cut off."""
    width = min(length, longest) * unit
    parts = [f'<rect x="{x:g}" y="{y:.1f}" width="{width:.1f}" height="{height:.3g}" rx="2" class="{look}"/>']
    if length > longest:
        start, rise = x + width - 22, height + 4
        parts.append(f'<path d="M{start:.1f} {y + height + 2:.1f}l6 -{rise:.3g}m4 0l-6 {rise:.3g}" class="cut" fill="none"/>')
    return parts


# The picture of all comparisons has a bar for each peer. Its length is the time of the peer, with that of the packer as the unit.
_LABELS, _UNIT, _LONGEST, _ROW, _BAR = 290, 110, 4.5, 19, 13
_WIDTH = round(_LABELS + _LONGEST * _UNIT + 80)


def draw_all(groups: Sequence[Group]) -> str:
    """Returns the picture of all comparisons of the packer with its peers."""
    body: list[str] = []
    y = 58
    title = ""
    for group in groups:
        measured = group.list_measured()
        if not measured:
            continue
        if group.title != title:
            title = group.title
            y += 20
            body.append(_draw_text(16, y, f"{title[0].upper()}{title[1:]}", "bold"))
            y += 8
        bars = [(group.ours, 1.0, "ours"), *((name, 1 / peer.ratio[0], "peer") for name, peer in measured.items())]
        for name, length, look in bars:
            text = "bold ours" if look == "ours" else ""
            body.append(_draw_text(_LABELS - 8, y + _BAR - 2.5, name, text, "end"))
            body += _draw_bar(_LABELS, y, _UNIT, _BAR, length, _LONGEST, look)
            body.append(_draw_text(_LABELS + min(length, _LONGEST) * _UNIT + 6, y + _BAR - 2.5, f"{length:.2f}", text))
            y += _ROW
        y += 6
    height = y + 14
    parts = [_draw_text(16, 26, "Wall time relative to the packer (shorter is faster)", "bold")]
    for number in range(1, int(_LONGEST) + 1):
        x = _LABELS + number * _UNIT
        look = 'class="one" stroke-dasharray="3"' if number == 1 else 'class="grid"'
        parts += [f'<path d="M{x} 54V{height - 14}" {look}/>', _draw_text(x, 48, f"{number} ×", "faint", "middle")]
    return _finish(_WIDTH, height, [*parts, *body])
