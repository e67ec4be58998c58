"""Reports a difference as a page of HTML that needs nothing else: no script, no font, no picture from elsewhere.

The page has the content of the text report. Long lists are folded, with `details`.
"""

from __future__ import annotations

from html import escape as escape_html
from typing import TYPE_CHECKING

from rules_setcap.diagnostics.errors import escape, printable
from rules_setcap.diff.grouping import find_sign, format_capabilities, format_values, group_changes, list_details
from rules_setcap.diff.html_style import STYLE
from rules_setcap.diff.model import KINDS
from rules_setcap.diff.report_text import format_verdict

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rules_setcap.diff.model import Change, Difference, ImageDifference, LayerDifference, LayerSide

_OPEN = 10  # Rows of a list that are shown; others are folded.
_MOST = 2000  # Rows of a list; others are counted. Browsers show a page of some 10 MB.
_PATHS = 50  # Paths of changes that share a row.
_UNFOLDED = 12  # Lines of details that are not folded.


def make_html_report(difference: Difference) -> Iterator[str]:
    """Yields the lines of the page."""
    verdict = format_verdict(difference)
    title = f"image_diff: {escape(difference.before.name)} and {escape(difference.after.name)}"
    yield "<!DOCTYPE html>"
    yield '<html lang="en">'
    yield "<head>"
    yield '<meta charset="utf-8">'
    yield '<meta name="viewport" content="width=device-width, initial-scale=1">'
    yield '<meta name="color-scheme" content="light dark">'
    # Text from the images is escaped. If that had a mistake, the browser would still load and run nothing.
    yield "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">"
    yield f"<title>{_text(title)}</title>"
    yield f"<style>{STYLE}</style>"
    yield "</head>"
    yield "<body>"
    yield "<header>"
    yield f'<h1 class="{"same" if difference.is_same else "differs"}">{_text(verdict)}</h1>'
    yield '<dl class="inputs">'
    for sign, side in (("-", difference.before), ("+", difference.after)):
        digest = f"<code>{_text(side.digest)}</code>" if side.digest else ""
        yield f"<dt>{_sign(sign)} {_text(escape(side.name))}</dt><dd>{digest}</dd>"
    yield "</dl>"
    yield from _make_notes(difference.notes)
    yield "</header>"
    yield "<main>"
    if difference.index:
        yield "<h2>Index</h2>"
        yield from _make_changes(difference.index)
    for image in difference.images:
        yield from _make_image(image, len(difference.images) > 1)
    yield "</main>"
    yield "</body>"
    yield "</html>"


def _make_image(image: ImageDifference, named: bool) -> Iterator[str]:
    """Yields the lines about one image.

    Args:
      image: the difference of the image.
      named: whether the platform is a heading.
    """
    is_same = not (image.documents or image.capabilities or image.layers)
    if named:
        yield f'<h2 class="platform">{_text(escape(image.platform or "image"))}: {"same" if is_same else "differs"}</h2>'
        if not is_same:
            yield from _make_sides((image.before.digest, image.after.digest))
    yield from _make_notes(image.notes)
    if image.capabilities:
        yield '<section class="capabilities">'
        yield "<h2>Capabilities</h2>"
        yield "<p>In the merged root filesystem, which a container sees.</p>"
        rows = []
        for change in image.capabilities:
            before, after = format_capabilities(change)
            rows.append(_make_row(escape(change.path), "", _make_values(before, after)))
        yield from _make_table(rows)
        yield "</section>"
    for title, kinds in (("Config", ("config",)), ("Manifest", ("manifest", "encoding"))):
        changes = [change for change in image.documents if change.kind in kinds]
        if changes:
            yield f"<section><h2>{title}</h2>"
            yield from _make_table([_make_group_row(group) for kind in kinds for group in group_changes(changes, kind)])
            yield "</section>"
    for layer in image.layers:
        yield from _make_layer(layer, image)


def _make_layer(layer: LayerDifference, image: ImageDifference) -> Iterator[str]:
    """Yields the lines about a layer."""
    side = layer.after or layer.before
    assert side
    number = image.after.layers if layer.after else image.before.layers
    only = "" if layer.before and layer.after else f", only in the {'second' if layer.after else 'first'} image"
    yield "<section>"
    yield f"<h2>Layer {side.number} of {number}{only}</h2>"
    yield from _make_sides([_describe_layer(one) for one in (layer.before, layer.after)])
    yield from _make_changes(layer.changes)
    for kind, omitted in layer.omitted.items():
        yield f"<p>{_text(kind)}: {omitted:,} more changes, which were counted only</p>"
    yield "</section>"


def _describe_layer(side: LayerSide | None) -> str:
    """Returns the digest of a layer and the command that made it; "" without a layer."""
    if not side:
        return ""
    return f"{side.digest}  made by {side.created_by[:200]}" if side.number and side.created_by else side.digest


def _make_sides(texts: Sequence[str]) -> Iterator[str]:
    """Yields the lines about the two sides of a difference."""
    yield '<ul class="sides">'
    for sign, text in zip("-+", texts, strict=True):
        if text:
            yield f"<li>{_sign(sign)} <code>{_text(printable(text))}</code></li>"
    yield "</ul>"


def _make_notes(notes: Sequence[str]) -> Iterator[str]:
    for note in notes:
        yield f'<p class="note">Note: {_text(printable(note))}</p>'


def _make_changes(changes: Sequence[Change]) -> Iterator[str]:
    """Yields the lines about changes, by kind."""
    for kind, meaning in KINDS.items():
        groups = group_changes(changes, kind)
        if groups:
            total = sum(map(len, groups))
            yield f'<h3 title="{_text(meaning)}">{_text(kind)} <small>{total:,}</small></h3>'
            yield from _make_table([_make_group_row(group) for group in groups[:_MOST]])
            if left := sum(map(len, groups[_MOST:])):
                yield f"<p>and {left:,} more, which --json lists</p>"


def _make_group_row(group: Sequence[Change]) -> str:
    """Returns the row of changes that differ only in their paths."""
    change = group[0]
    sign = find_sign(change)
    values = format_values(change)
    if change.content is None and not sign and " -> " in values:
        values = _make_values(*(printable("none" if value is None else value) for value in (change.before, change.after)))
    else:
        values = f"<span>{_text(values)}</span>" if values else ""
    details = list_details(change)
    if details:
        lines = "\n".join(map(_make_detail, details))
        if len(details) > _UNFOLDED:
            values += f"<details><summary>{len(details)} lines</summary><pre>{lines}</pre></details>"
        else:
            values += f"<pre>{lines}</pre>"
    names = [escape(one.path) for one in group]
    if len(names) == 1:
        return _make_row(names[0], change.field, values, sign)
    more = f"\nand {len(names) - _PATHS:,} more" if len(names) > _PATHS else ""
    paths = _text("\n".join(names[:_PATHS]) + more)
    what = "entries" if group[0].path.startswith("/") else "fields"
    label = f"<details><summary>{len(names):,} {what}</summary><pre>{paths}</pre></details>"
    return f"<tr><th>{label}</th><td>{_field(change.field)}{values}</td></tr>"


def _make_detail(line: str) -> str:
    """Returns a line of details. Lines of a diff have a color."""
    kind = {"- ": "removed", "+ ": "added"}.get(line.lstrip()[:2], "")
    return f'<span class="{kind}">{_text(line)}</span>' if kind else _text(line)


def _make_row(name: str, field: str, values: str, sign: str = "") -> str:
    """Returns a row of a table.

    Args:
      name: the escaped path.
      field: what differs of the entry, or "".
      values: the values, as HTML.
      sign: "+", "-" or "".
    """
    return f"<tr><th>{_sign(sign) + ' ' if sign else ''}<code>{_text(name)}</code></th><td>{_field(field)}{values}</td></tr>"


def _make_values(before: str, after: str) -> str:
    """Returns two values as HTML."""
    return f'<span class="removed">{_text(before)}</span> <span class="arrow">→</span> <span class="added">{_text(after)}</span>'


def _make_table(rows: Sequence[str]) -> Iterator[str]:
    """Yields the lines of a table. Rows after the first _OPEN are folded."""
    yield "<table>"
    yield from rows[:_OPEN]
    yield "</table>"
    if len(rows) > _OPEN:
        yield f"<details><summary>{len(rows) - _OPEN:,} more</summary><table>"
        yield from rows[_OPEN:]
        yield "</table></details>"


def _field(field: str) -> str:
    return f"<em>{_text(printable(field))}</em> " if field else ""


def _sign(sign: str) -> str:
    return f'<b class="{"removed" if sign == "-" else "added"}">{sign}</b>' if sign else ""


def _text(text: str) -> str:
    """Returns printable text as HTML."""
    return escape_html(text)
