"""Makes entries from the files, directories and symbolic links that the inputs of an action are."""

from __future__ import annotations

import os
import stat
from itertools import repeat
from typing import TYPE_CHECKING

from rules_setcap.archive.entry import DIRECTORY, FILE, MODES, SYMLINK, Entry
from rules_setcap.archive.paths import check_text
from rules_setcap.diagnostics.errors import quote

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from rules_setcap.diagnostics.problems import Problems


def read_source(source: str, template: Entry, path: str, problems: Problems) -> Entry | None:
    """Returns the entry of a source file, directory or symbolic link.

    Args:
      source: the path of the input.
      template: an entry with the type, mode, owner and attribute that the line of the request has.
      path: the path in the image.
      problems: the collector of problems.

    Returns:
      The entry, of type DIRECTORY and with a source if the source is a directory, whatever type the template has; None if
      there is a problem.
    """
    try:
        if template.type == SYMLINK:
            return make_symlink(os.readlink(source), template, path, problems)
    except OSError as error:
        return _make_entry(error, source, template, path, problems)
    return _make_entry(_read_status(source), source, template, path, problems)


def read_files(sources: Sequence[str], template: Entry, paths: Sequence[str]) -> list[Entry] | None:
    """Returns the entries of files that differ in nothing but path and source.

    A layer may have 100,000 files, so nothing is done for each of them in Python.

    Args:
      sources: the paths of the inputs.
      template: as for read_source().
      paths: the paths in the image.

    Returns:
      The entries; None if an input is not a file, or cannot be read.
    """
    try:
        statuses = list(map(os.stat, sources))
    except OSError:
        return None
    if not all(map(stat.S_ISREG, {status.st_mode for status in statuses})):
        return None
    _, kind, _, target, mode, uid, gid, _, xattrs, attribute = template
    sizes = [status.st_size for status in statuses]
    rest = map(repeat, (mode, uid, gid))
    fields = zip(paths, repeat(kind), sources, repeat(target), *rest, sizes, repeat(xattrs), repeat(attribute))
    return list(map(_new_entry, repeat(Entry), fields))


def _read_status(source: str) -> os.stat_result | OSError:
    try:
        return os.stat(source)
    except OSError as error:
        return error


def read_output(
    output: str, template: Entry, path: str, problems: Problems, digests: Callable[[], Mapping[str, str]]
) -> Entry | None:
    """Returns the entry of another action's output on Bazel 7, which may be an unresolved symlink.

    Args:
      output: the path of the output.
      template: as for read_source().
      path: the path in the image.
      problems: the collector of problems.
      digests: returns the digests of the action's inputs by path, as Bazel sends them to a worker.

    Returns:
      The entry, as read_source() returns it.
    """
    try:
        status = os.lstat(output)
        if stat.S_ISLNK(status.st_mode):
            text = os.readlink(output)
            # A sandbox consists of links into bazel-out, and ctx.actions.symlink(target_file = ...) makes such links too.
            # There are many of them, so they are followed without a closer look.
            if "/bazel-out/" not in text or not text.startswith("/"):
                from rules_setcap.packer import unresolved_symlinks

                if unresolved_symlinks.is_unresolved(output, text, digests):
                    return make_symlink(text, template, path, problems)
            status = os.stat(output)
    except OSError as error:
        return _make_entry(error, output, template, path, problems)
    return _make_entry(status, output, template, path, problems)


def make_symlink(target: str, template: Entry, path: str, problems: Problems) -> Entry | None:
    """Returns a symbolic link with the owner and attribute of a template; None if its target is not valid text."""
    try:
        return template._replace(path=path, type=SYMLINK, source="", target=check_text(target), mode=MODES[SYMLINK], size=0)
    except ValueError as error:
        problems.add(template.attribute, path, str(error))
        return None


def fill_template(path: str, template: Entry, source: str = "", size: int = 0) -> Entry:
    """Returns an entry with everything that a template has, at a path and with a source of its own."""
    _, kind, _, target, mode, uid, gid, _, xattrs, attribute = template
    return _new_entry(Entry, (path, kind, source, target, mode, uid, gid, size, xattrs, attribute))


_new_entry = tuple.__new__  # Entry._replace() ends here too, but takes ten times as long.


def _make_entry(status: os.stat_result | OSError, source: str, template: Entry, path: str, problems: Problems) -> Entry | None:
    """Returns the entry of a source file or directory, as read_source() returns it.

    Args:
      status: the status of the source, or why it cannot be read.
      source: the path of the input.
      template: as for read_source().
      path: the path in the image.
      problems: the collector of problems.
    """
    if isinstance(status, OSError):
        _report_unreadable(source, template, path, status, problems)
        return None
    mode = status.st_mode
    if stat.S_ISREG(mode) and template.type == FILE:
        return fill_template(path, template, source, status.st_size)
    if stat.S_ISDIR(mode):
        return template._replace(path=path, type=DIRECTORY, source=source, mode=MODES[DIRECTORY])
    problems.add(template.attribute, path, f"its source {quote(source)} is not a {template.type}")
    return None


def _report_unreadable(source: str, template: Entry, path: str, error: OSError, problems: Problems) -> None:
    what = "does not exist" if isinstance(error, FileNotFoundError) else f"cannot be read: {error.strerror}"
    problems.add(template.attribute, path, f"its source {quote(source)} {what}")
