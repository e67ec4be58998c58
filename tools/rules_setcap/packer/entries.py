"""Reads the entries of a layer from the rules' lines and checks them; collects all problems.

An entry is a JSON object: `path` (absolute), `type` ("file", "directory", "symlink", "hardlink"; by default "file"),
`source` (the file or directory to copy, or the symbolic link to repeat; a file without a source is empty), `output` (in
place of `source` on Bazel 7: an action's output, which may be an unresolved symlink), `target` (of links), `mode` (octal
text), `uid`, `gid`, `attribute` (of the target, for messages).
"""

from __future__ import annotations

import functools
import json
import os
import stat

from rules_setcap.archive.entry import DIRECTORY, FILE, HARDLINK, MAX_ID, MODES, SYMLINK, Entry
from rules_setcap.archive.paths import check_text, normalize_path
from rules_setcap.diagnostics.errors import problem, quote
from rules_setcap.diagnostics.suggestions import find_closest_path

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, Iterable, Iterator, Mapping, Sequence

    Digests = Callable[[], Mapping[str, str]]

_TYPES = {
    **dict.fromkeys(("path", "type", "source", "output", "target", "mode", "attribute"), str),
    **dict.fromkeys(("uid", "gid"), int),
}
_AT_ONCE = 256  # Lines.


def read(lines: list[str], problems: list[str], digests: Digests = dict) -> dict[str, Entry]:
    """Reads entries; those that repeat each other become one.

    Args:
      lines: one entry per line; the list is emptied, because many lines take much memory.
      problems: gets a message for each problem.
      digests: returns the digests of the action's inputs by path, as Bazel sends them to a worker.

    Returns:
      The entries by path.
    """
    entries: dict[str, Entry] = {}
    lines.reverse()
    while lines:
        some = lines[: -_AT_ONCE - 1 : -1]
        del lines[-_AT_ONCE:]
        for entry in _entries(some, problems, digests):
            known = entries.setdefault(entry.path, entry)
            # Runfiles may have the same file more than once.
            if known is not entry and known[:-1] != entry[:-1]:
                problems.append(
                    problem(
                        entry.attribute,
                        entry.path,
                        f"two entries for one path: {_what(known)} (from {known.attribute}) and {_what(entry)}; keep one",
                    )
                )
    return entries


def set_directories(entries: dict[str, Entry], mode: int) -> None:
    """Sets the permissions of directories that have the default ones."""
    for path, entry in entries.items():
        if entry.type == DIRECTORY and entry.mode == MODES[DIRECTORY]:
            entries[path] = entry._replace(mode=mode)


def settle_links(entries: dict[str, Entry], problems: list[str]) -> None:
    """Copies mode, owner and attributes of targets to hard links: unpackers apply a link's header to the shared file."""
    for path, entry in entries.items():
        if entry.type == HARDLINK:
            target = entries.get(entry.target)
            if target is None or target.type != FILE:
                what = f"hard link to {quote(entry.target)}, which is not a file of this layer"
                problems.append(problem(entry.attribute, path, what))
            else:
                entries[path] = entry._replace(mode=target.mode, uid=target.uid, gid=target.gid, xattrs=target.xattrs)


def no_entry(path: str, entries: Mapping[str, Entry]) -> str:
    """Returns the message for a path that matches no entry, with the closest match."""
    near = find_closest_path(path, [name for name, entry in entries.items() if entry.type == FILE])
    return "no entry of this layer has this path" + (f"; did you mean {quote(near)}?" if near else "")


def no_path(path: str, files: Iterable[str]) -> str:
    """Returns the message for a path that is neither in the binary's layer nor below it, with the closest match."""
    near = find_closest_path(path, files, 0.8)
    return "neither the binary's layer nor the layers below have this path" + (f"; did you mean {quote(near)}?" if near else "")


def _entries(lines: Sequence[str], problems: list[str], digests: Digests) -> Iterator[Entry]:
    """Yields the entries of some lines; the fields of lines that are alike, as most are, are checked once."""
    objects = _objects(lines)
    if not _plain(objects):
        for line, fields in zip(lines, objects):
            yield from _parse(line, fields, problems, digests)
        return
    for line, fields in zip(lines, objects):
        path, source, output = fields.pop("path"), fields.pop("source", ""), fields.pop("output", "")
        try:
            like = _like(**fields)
        except TypeError:  # A list or an object, which is of the wrong type.
            like = None
        if like is None or (source or output) and (like.target or source and output):
            yield from _parse(line, {**fields, "path": path, "source": source, "output": output}, problems, digests)
        elif output:
            yield from _from_output(output, like, path, problems, digests)
        elif source:
            yield from from_source(source, like, path, problems)
        else:
            yield _at(path, like)


def _objects(lines: Sequence[str]) -> list[Any]:
    """Parses each line as JSON; None if it is not valid. To parse many at once takes a third of the time."""
    values = _json("[" + ",".join(lines) + "]")
    if isinstance(values, list) and len(values) == len(lines):
        return values
    return [_json(line) for line in lines]


def _plain(objects: Sequence[Any]) -> bool:
    """Returns whether all paths and sources are valid; False also if _parse() has to look at each."""
    try:
        names = [fields["path"] for fields in objects]
        paths = "/\0".join(names) + "/"
        sources = "".join([fields.get("source", "") + fields.get("output", "") for fields in objects])
    except (AttributeError, KeyError, TypeError):
        return False
    apart = len(objects) - 1
    return (
        all(names)
        and paths.startswith("/")
        and paths.count("/\0/") == paths.count("\0") == apart
        and not ("//" in paths or "/./" in paths or "/../" in paths or "/.wh." in paths or "\0" in sources)
        and paths.isascii()
        and sources.isascii()
    )


@functools.lru_cache(64, typed=True)
def _like(**fields: Any) -> Entry | None:
    """Returns an entry with these fields, which are not its path and source; None if they are not valid."""
    problems: list[str] = []
    entry = next(iter(_parse("", {**fields, "path": "/like"}, problems, dict)), None)
    return None if problems else entry


def _at(path: str, like: Entry, source: str = "", size: int = 0) -> Entry:
    """Returns an entry like another, at a path."""
    _, kind, _, target, mode, uid, gid, _, xattrs, attribute = like
    return _new(Entry, (path, kind, source, target, mode, uid, gid, size, xattrs, attribute))


_new = tuple.__new__  # As Entry._replace() does in the end, in a tenth of the time.


def _json(text: str) -> object:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _parse(line: str, fields: object, problems: list[str], digests: Digests) -> Iterable[Entry]:
    """Returns the entries of one line; none, and problems, if it is wrong."""
    if not isinstance(fields, dict):
        problems.append(problem("entries", line, "not a JSON object"))
        return ()
    attribute = fields.get("attribute", "srcs")
    if wrong := [name for name, value in fields.items() if type(value) is not _TYPES.get(name)]:
        problems.append(problem(str(attribute), line, f"{quote(wrong[0])} is unknown or of the wrong type"))
        return ()
    path, kind = fields.get("path", ""), fields.get("type", FILE)
    source, output = fields.get("source", ""), fields.get("output", "")
    target, mode = fields.get("target", ""), fields.get("mode", "")
    uid, gid = fields.get("uid", 0), fields.get("gid", 0)
    try:
        path = normalize_path(path)
        if kind == HARDLINK:
            target = normalize_path(target)
        for text in (source, output, target):
            check_text(text)
    except ValueError as error:
        wrong.append(problem(attribute, path, str(error)))
    if kind not in MODES:
        wrong.append(problem(attribute, path, f"unknown type {quote(kind)}"))
    if kind == SYMLINK and not (target or source):
        wrong.append(problem(attribute, path, "a symbolic link must lead somewhere; write its target"))
    if target and (source or output or kind in (FILE, DIRECTORY)) or source and kind == HARDLINK:
        wrong.append(problem(attribute, path, "links have a target, files and directories a source; never both"))
    if output and (source or kind != FILE):
        wrong.append(problem(attribute, path, "only a file has an output, and then no source"))
    permissions = read_mode(mode, attribute, path, wrong) if mode else MODES.get(kind, 0)
    if not (0 <= uid <= MAX_ID and 0 <= gid <= MAX_ID):
        numbers = {"uid": uid, "gid": gid}
        beyond = [(name, number) for name, number in numbers.items() if not 0 <= number <= MAX_ID]
        wrong += [problem(attribute, path, f"{name} {number} is out of range (0 to {MAX_ID})") for name, number in beyond]
    if wrong:
        problems += wrong
        return ()
    entry = Entry(path, kind, "", target, permissions, uid, gid, 0, (), attribute)
    if output:
        return _from_output(output, entry, path, problems, digests)
    return from_source(source, entry, path, problems) if source else (entry,)


def read_mode(text: str, attribute: str, path: str, problems: list[str]) -> int:
    """Parses permissions in octal; returns 0, and adds a problem, if they are not valid."""
    mode = _permissions(text)
    if mode is None:
        problems.append(problem(attribute, path, f'mode {quote(text)} is not valid; write it in octal, as "0755"'))
    return mode or 0


@functools.lru_cache
def _permissions(text: str) -> int | None:
    if 0 < len(text) <= 5 and text.isascii() and not text.strip("01234567") and int(text, 8) <= 0o7777:
        return int(text, 8)
    return None


def _from_output(output: str, like: Entry, path: str, problems: list[str], digests: Digests) -> Iterable[Entry]:
    """Returns the entry of an action's output: a file like another, or a symbolic link."""
    try:
        status = os.lstat(output)
        if stat.S_ISLNK(status.st_mode):
            text = os.readlink(output)
            # A sandbox consists of links into bazel-out, and ctx.actions.symlink(target_file = ...) makes them: no more
            # time for these, there are many.
            if "/bazel-out/" not in text or not text.startswith("/"):
                from rules_setcap.packer import links

                if links.is_unresolved(output, text, digests):
                    return symlink(text, like, path, problems)
            status = os.stat(output)
    except OSError as error:
        return _unreadable(output, like, path, error, problems)
    return _from_status(status, output, like, path, problems)


def from_source(source: str, like: Entry, path: str, problems: list[str]) -> Iterable[Entry]:
    """Returns the entry of a source, like another one, at a path; for a directory, also all that is in it."""
    try:
        if like.type == SYMLINK:
            return symlink(os.readlink(source), like, path, problems)
        status = os.stat(source)
    except OSError as error:
        return _unreadable(source, like, path, error, problems)
    return _from_status(status, source, like, path, problems)


def _from_status(status: os.stat_result, source: str, like: Entry, path: str, problems: list[str]) -> Iterable[Entry]:
    if stat.S_ISREG(status.st_mode) and like.type == FILE:
        return (_at(path, like, source, status.st_size),)
    if stat.S_ISDIR(status.st_mode):
        from rules_setcap.packer import walk

        return walk.walk(_at(path, like, source), problems)
    problems.append(problem(like.attribute, path, f"its source {quote(source)} is not a {like.type}"))
    return ()


def _unreadable(source: str, like: Entry, path: str, error: OSError, problems: list[str]) -> Iterable[Entry]:
    what = "does not exist" if isinstance(error, FileNotFoundError) else f"cannot be read: {error.strerror}"
    problems.append(problem(like.attribute, path, f"its source {quote(source)} {what}"))
    return ()


def symlink(text: str, like: Entry, path: str, problems: list[str]) -> Iterable[Entry]:
    """Returns a symbolic link with the owner of another entry."""
    try:
        return (like._replace(path=path, type=SYMLINK, source="", target=check_text(text), mode=MODES[SYMLINK], size=0),)
    except ValueError as error:
        problems.append(problem(like.attribute, path, str(error)))
        return ()


def _what(entry: Entry) -> str:
    """Describes an entry for a message."""
    if entry.type == FILE:
        return f"the file {quote(entry.source)}" if entry.source else "an empty file"
    if entry.type == DIRECTORY:
        return "a directory"
    return f"a {'symbolic' if entry.type == SYMLINK else 'hard'} link to {quote(entry.target)}"
