"""Parses the entries of a layer: a line of the request for each file, directory and link (entry_lines.py)."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

from rules_setcap.archive.entry import DIRECTORY, FILE, HARDLINK, MAX_ID, MODES, SYMLINK, Entry
from rules_setcap.archive.paths import check_text, normalize_path
from rules_setcap.diagnostics.errors import quote
from rules_setcap.diagnostics.problems import Problems
from rules_setcap.packer.entry_lines import decode_line, decode_lines, name_fields
from rules_setcap.packer.sources import fill_template, read_files, read_output, read_source

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from typing import Any

    Digests = Callable[[], Mapping[str, str]]

_FIELD_TYPES = {
    **dict.fromkeys(("path", "type", "source", "output", "target", "mode", "attribute"), str),
    **dict.fromkeys(("uid", "gid"), int),
}
_BATCH = 256  # Lines that are parsed at once.


def parse_defaults(owner: str, mode: str, problems: Problems) -> dict[str, Any]:
    """Parses the attributes owner and mode of a target.

    Args:
      owner: uid:gid.
      mode: octal permissions of files.
      problems: the collector of problems.

    Returns:
      The fields that lines without them have. Fields with the default of every entry are left out.
    """
    fields: dict[str, Any] = {}
    try:
        uid, gid = parse_owner(owner)
        fields = {"uid": uid, "gid": gid} if uid or gid else {}
    except ValueError as error:
        problems.add("owner", owner, str(error))
    if _parse_octal(mode) is None:
        problems.add("mode", mode, 'not a valid mode; write it in octal, as "0755"')
    elif _parse_octal(mode) != MODES[FILE]:
        fields["mode"] = mode
    return fields


def parse_owner(text: str) -> tuple[int, int]:
    """Parses uid:gid, in numbers.

    Raises:
      ValueError: the text is not valid; the error says why.
    """
    numbers = text.split(":")
    if len(numbers) != 2 or not all(number.isascii() and number.isdecimal() for number in numbers):
        raise ValueError('not a valid owner; write uid:gid in numbers, as "65532:65532"')
    for name, number in zip(("uid", "gid"), numbers, strict=True):
        if int(number[:11]) > MAX_ID:
            raise ValueError(f"{name} {number} is out of range (0 to {MAX_ID})")
    return int(numbers[0]), int(numbers[1])


def parse_entries(
    lines: list[str],
    problems: Problems,
    digests: Digests = dict,
    defaults: Mapping[str, Any] | None = None,
) -> dict[str, Entry]:
    """Parses the lines of a layer's entries. Entries that repeat each other become one.

    Args:
      lines: an entry each; the list is emptied, because many lines take much memory.
      problems: the collector of problems.
      digests: returns the digests of the action's inputs by path, as Bazel sends them to a worker.
      defaults: fields of lines without them, from parse_defaults().

    Returns:
      The entries by path.
    """
    entries: dict[str, Entry] = {}
    lines.reverse()
    while lines:
        batch = lines[: -_BATCH - 1 : -1]
        del lines[-_BATCH:]
        parsed = _parse_batch(batch, problems, digests, defaults or {})
        added = {entry[0]: entry for entry in parsed}
        if len(added) == len(parsed) and entries.keys().isdisjoint(added.keys()):
            entries.update(added)
            continue
        for entry in parsed:
            first = entries.setdefault(entry[0], entry)
            # Runfiles may have the same file more than once.
            if first is not entry and first[:-1] != entry[:-1]:
                what = f"two entries for one path: {_describe(first)} (from {first.attribute}) and {_describe(entry)}; keep one"
                problems.add(entry.attribute, entry.path, what)
    return entries


def parse_mode(text: str, attribute: str, path: str, problems: Problems) -> int:
    """Parses permissions in octal.

    Args:
      text: the permissions.
      attribute: the attribute that has them, for messages.
      path: the path that has them, for messages.
      problems: the collector of problems.

    Returns:
      The permissions; 0 if they are not valid.
    """
    mode = _parse_octal(text)
    if mode is None:
        problems.add(attribute, path, f'mode {quote(text)} is not valid; write it in octal, as "0755"')
    return mode or 0


def _parse_batch(lines: Sequence[str], problems: Problems, digests: Digests, defaults: Mapping[str, Any]) -> list[Entry]:
    """Returns the entries of some lines.

    Paths and sources are checked all at once, and the other fields once for each combination of their values. Lines that do not
    pass are parsed one by one.
    """
    values = decode_lines(lines)
    if (files := _parse_files(values, defaults)) is not None:
        return files
    entries: list[Entry] = []
    objects = [name_fields(value) for value in values]
    if not _have_plain_paths(objects):
        for line, fields in zip(lines, objects, strict=True):
            entries += _parse_line(line, _add_defaults(fields, defaults), problems, digests)
        return entries
    last_fields: Any = None
    template: Entry | None = None
    for line, fields in zip(lines, objects, strict=True):
        path, source, output = fields.pop("path"), fields.pop("source", ""), fields.pop("output", "")
        if fields != last_fields:
            last_fields, template = fields, _make_template(fields, defaults)
        if not template or (template.target and (source or output)) or (output and (source or template.type != FILE)):
            entries += _parse_line(line, _add_defaults(name_fields(decode_line(line)), defaults), problems, digests)
        elif source or output:
            entries += _read_input(source, output, template, path, problems, digests)
        else:
            entries.append(fill_template(path, template))
    return entries


def _parse_files(values: Sequence[Any], defaults: Mapping[str, Any]) -> list[Entry] | None:
    """Returns the entries of lines that are arrays of a file with a source, and differ in paths only; None if one is not."""
    try:
        attributes, paths, sources = zip(*values, strict=True)
        if {*map(type, values)} != {list} or len({*attributes}) != 1 or not all(sources) or not _are_plain(paths, sources):
            return None
    except (TypeError, ValueError):
        return None
    template = _make_template({"attribute": attributes[0]}, defaults)
    return read_files(sources, template, paths) if template else None


def _add_defaults(fields: Any, defaults: Mapping[str, Any]) -> Any:
    """Adds the fields that a line does not have, and returns the line."""
    if defaults and isinstance(fields, dict):
        for name, value in defaults.items():
            if name != "mode" or "type" not in fields:
                fields.setdefault(name, value)
    return fields


def _make_template(fields: Mapping[str, Any], defaults: Mapping[str, Any]) -> Entry | None:
    """Returns an entry with what some lines have in common; None if _parse_line() has to check each of them.

    Args:
      fields: the fields of each line but its path, source and output.
      defaults: as for parse_entries().
    """
    if "uid" in fields or "gid" in fields:
        return None  # 1 == True == 1.0, but only one of them is a valid number.
    try:
        return _parse_template(**_add_defaults({**fields}, defaults))
    except TypeError:  # A list or an object is not hashable, and of the wrong type anyway.
        return None


def _have_plain_paths(objects: Sequence[Any]) -> bool:
    """Returns whether all paths and sources are valid; False also if _parse_line() has to check each."""
    try:
        paths = [fields["path"] for fields in objects]
        return _are_plain(paths, [fields.get("source", "") + fields.get("output", "") for fields in objects])
    except (AttributeError, KeyError, TypeError):
        return False


def _are_plain(paths: Sequence[str], sources: Sequence[str]) -> bool:
    """Returns whether all paths and sources are valid; False also if _parse_line() has to check each.

    Raises:
      TypeError: one of them is not a string.
    """
    joined, joined_sources = "/\0".join(paths) + "/", "".join(sources)
    separators = len(paths) - 1
    return (
        all(paths)
        and joined.startswith("/")
        and joined.count("/\0/") == joined.count("\0") == separators
        and not ("//" in joined or "/./" in joined or "/../" in joined or "/.wh." in joined or "\0" in joined_sources)
        and joined.isascii()
        and joined_sources.isascii()
    )


@functools.lru_cache(64, typed=True)
def _parse_template(**fields: Any) -> Entry | None:
    """Returns an entry with the given fields, which are all but its path and source; None if they are not valid."""
    problems = Problems()
    entry = next(iter(_parse_line("", {**fields, "path": "/template"}, problems, dict)), None)
    return None if problems else entry


def _parse_line(line: str, fields: object, problems: Problems, digests: Digests) -> Iterable[Entry]:
    """Returns the entries of one line; none, and adds problems, if it is not valid.

    Args:
      line: the line, for messages.
      fields: the line, decoded.
      problems: the collector of problems.
      digests: as for parse_entries().
    """
    if not isinstance(fields, dict):
        problems.add("entries", line, "not a JSON object")
        return ()
    attribute = fields.get("attribute", "srcs")
    if invalid := [name for name, value in fields.items() if type(value) is not _FIELD_TYPES.get(name)]:
        problems.add(str(attribute), line, f"{quote(invalid[0])} is unknown or of the wrong type")
        return ()
    path, kind = fields.get("path", ""), fields.get("type", FILE)
    source, output = fields.get("source", ""), fields.get("output", "")
    target, mode = fields.get("target", ""), fields.get("mode", "")
    uid, gid = fields.get("uid", 0), fields.get("gid", 0)
    known = len(problems)
    try:
        path = normalize_path(path)
        if kind == HARDLINK:
            target = normalize_path(target)
        for text in (source, output, target):
            check_text(text)
    except ValueError as error:
        problems.add(attribute, path, str(error))
    if kind not in MODES:
        problems.add(attribute, path, f"unknown type {quote(kind)}")
    if kind == SYMLINK and not (target or source):
        problems.add(attribute, path, "a symbolic link must lead somewhere; write its target")
    if (target and (source or output or kind in (FILE, DIRECTORY))) or (source and kind == HARDLINK):
        problems.add(attribute, path, "links have a target, files and directories a source; never both")
    if output and (source or kind != FILE):
        problems.add(attribute, path, "only a file has an output, and then no source")
    permissions = parse_mode(mode, attribute, path, problems) if mode else MODES.get(kind, 0)
    for name, number in (("uid", uid), ("gid", gid)):
        if not 0 <= number <= MAX_ID:
            problems.add(attribute, path, f"{name} {number} is out of range (0 to {MAX_ID})")
    if len(problems) > known:
        return ()
    entry = Entry(path, kind, "", target, permissions, uid, gid, 0, (), attribute)
    return _read_input(source, output, entry, path, problems, digests) if source or output else (entry,)


def _read_input(source: str, output: str, template: Entry, path: str, problems: Problems, digests: Digests) -> Iterable[Entry]:
    """Returns the entries of a source or an output: one, or those of a directory; none if there is a problem."""
    entry = read_output(output, template, path, problems, digests) if output else read_source(source, template, path, problems)
    return _list_entries(entry, template, problems)


def _list_entries(entry: Entry | None, template: Entry, problems: Problems) -> Iterable[Entry]:
    """Returns an entry, or those of a directory; none if there is none."""
    if entry is None:
        return ()
    if entry.type == DIRECTORY:
        from rules_setcap.packer import source_directories

        return source_directories.list_directory(entry, source_directories.default_file_mode(template), problems)
    return (entry,)


@functools.lru_cache
def _parse_octal(text: str) -> int | None:
    if 0 < len(text) <= 5 and text.isascii() and not text.strip("01234567") and int(text, 8) <= 0o7777:
        return int(text, 8)
    return None


def _describe(entry: Entry) -> str:
    """Describes an entry for a message."""
    if entry.type == FILE:
        return f"the file {quote(entry.source)}" if entry.source else "an empty file"
    if entry.type == DIRECTORY:
        return "a directory"
    return f"a {'symbolic' if entry.type == SYMLINK else 'hard'} link to {quote(entry.target)}"
