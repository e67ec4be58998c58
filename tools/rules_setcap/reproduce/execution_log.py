"""Reads the compact execution log that Bazel writes: the actions of a build, with the files that they read and wrote.

A log is a zstd stream of entries. Each is a protobuf message behind its length. An entry refers to earlier entries by their
ids, so one pass reads a log.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from google.protobuf.message import DecodeError

from rules_setcap.archive.decompress import DecompressedStream, DecompressionError
from rules_setcap.diagnostics import limits
from rules_setcap.diagnostics.errors import InputError, format_problem
from rules_setcap.diagnostics.files import open_regular
from rules_setcap.reproduce.log_messages import ExecLogEntry
from rules_setcap.reproduce.surroundings import FAKETIME_VARIABLES

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping
    from typing import Any

_LENGTH_BYTES = 5
"""Bytes of the length of an entry: a varint of up to 32 bits."""


class Item(NamedTuple):
    """A file, a directory or a symbolic link that an action read or wrote.

    Attributes:
      path: its path below the execution root, such as "bazel-out/k8-fastbuild/bin/app/stamp.txt".
      digest: what identifies its content: the digest of a file, of all files of a directory, or the target of a link.
      files: of a directory, the path and the digest of each file; else empty.
    """

    path: str
    digest: str
    files: tuple[tuple[str, str], ...] = ()


class InputSet(NamedTuple):
    """A set of inputs that actions share.

    Attributes:
      items: the ids of the items that it has itself; also those of runfiles trees, which are sets.
      sets: the ids of the sets that it includes.
    """

    items: tuple[int, ...]
    sets: tuple[int, ...]


@dataclass(slots=True, frozen=True)
class Action:
    """An action that ran, or an action that made a symbolic link.

    Attributes:
      position: the number of its entry in the log.
      label: the label of its target.
      mnemonic: its mnemonic, such as "CppCompile".
      inputs: the id of the set of its inputs; 0 if it has none.
      outputs: its outputs, in the order of the log.
      command: a digest of its arguments and of its environment, without the texts that differ by design.
      runner: what ran it, such as "worker" or "linux-sandbox"; "" for a link.
      link_target: of a link, the path that it leads to; else "".
      is_cached: whether a cache had its outputs, so that it did not run.
    """

    position: int
    label: str
    mnemonic: str
    inputs: int
    outputs: tuple[Item, ...]
    command: str
    runner: str = ""
    link_target: str = ""
    is_cached: bool = False


@dataclass(slots=True, frozen=True)
class Command:
    """The command of an action.

    Attributes:
      arguments: its command line.
      environment: its environment variables, without those of libfaketime.
    """

    arguments: tuple[str, ...]
    environment: dict[str, str]


@dataclass(slots=True)
class ExecutionLog:
    """The actions of a build.

    Attributes:
      path: the path of the log.
      items: the items by id.
      sets: the input sets by id.
      actions: the actions, in the order in which they ended.
    """

    path: str
    items: dict[int, Item] = field(default_factory=dict)
    sets: dict[int, InputSet] = field(default_factory=dict)
    actions: list[Action] = field(default_factory=list)

    def list_runners(self) -> dict[str, int]:
        """Returns how many actions each runner ran, by name."""
        counts: dict[str, int] = {}
        for action in self.actions:
            if action.runner:
                counts[action.runner] = counts.get(action.runner, 0) + 1
        return dict(sorted(counts.items()))


def read_log(path: str, placeholders: Mapping[str, str]) -> ExecutionLog:
    """Reads a log.

    Args:
      path: the path of the file.
      placeholders: what stands for a text in the commands of actions, by the text: paths that differ by design.

    Raises:
      InputError: the file is not a complete log, or exceeds a limit.
      OSError: it cannot be read.
    """
    log = ExecutionLog(path)
    for position, entry in enumerate(_read_entries(path)):
        _add_entry(log, position, entry, placeholders)
    return log


def read_commands(path: str, positions: Collection[int]) -> dict[int, Command]:
    """Returns the commands of some actions of a log, by position.

    Args:
      path: the path of the file.
      positions: the positions of the actions.

    Raises:
      InputError: the file is not a complete log, or exceeds a limit.
      OSError: it cannot be read.
    """
    if not positions:
        return {}
    wanted = set(positions)
    return {position: _make_command(entry.spawn, {}) for position, entry in enumerate(_read_entries(path)) if position in wanted}


def _read_entries(path: str) -> Iterator[Any]:
    """Yields the messages of a log."""
    count = 0
    with open_regular(path) as file:
        try:
            stream = DecompressedStream(file)
            if stream.codec != "zstd":
                raise _error(path, "is not an execution log, which is compressed by zstd")
            while data := _read_message(path, stream):
                count += 1
                if count > limits.LOG_ENTRIES:
                    raise _error(
                        path, f"has more than {limits.LOG_ENTRIES} entries (limit LOG_ENTRIES); build fewer images at once"
                    )
                yield ExecLogEntry.FromString(data)
        except DecompressionError as error:
            raise _error(path, f"is not a complete execution log: {error}") from None
        except DecodeError:
            raise _error(path, f"is not an execution log: its entry {count} is not a protobuf message") from None


def _read_message(path: str, stream: DecompressedStream) -> bytes:
    """Returns the bytes of the next message; b"" at the end of the log."""
    size = 0
    for index in range(_LENGTH_BYTES):
        byte = stream.read(1)
        if not byte:
            if index == 0:
                return b""
            raise _error(path, "is not a complete execution log: it ends within the length of an entry")
        size |= (byte[0] & 0x7F) << 7 * index
        if byte[0] < 0x80:
            break
    else:
        raise _error(path, f"is not an execution log: the length of an entry has more than {_LENGTH_BYTES} bytes")
    if not 0 < size <= limits.LOG_ENTRY:
        raise _error(
            path, f"is not an execution log: an entry has {size} bytes; it must have 1 to {limits.LOG_ENTRY} (limit LOG_ENTRY)"
        )
    data = stream.read(size)
    if len(data) < size:
        raise _error(path, "is not a complete execution log: it ends within an entry")
    return data


def _add_entry(log: ExecutionLog, position: int, entry: Any, placeholders: Mapping[str, str]) -> None:
    """Adds what a message describes to a log."""
    if entry.HasField("file"):
        log.items[entry.id] = _make_file(entry.file)
    elif entry.HasField("directory"):
        log.items[entry.id] = _make_directory(entry.directory)
    elif entry.HasField("unresolved_symlink"):
        link = entry.unresolved_symlink
        log.items[entry.id] = Item(link.path, f"link to {link.target_path}")
    elif entry.HasField("input_set"):
        log.sets[entry.id] = InputSet(tuple(entry.input_set.input_ids), tuple(entry.input_set.transitive_set_ids))
    elif entry.HasField("symlink_entry_set"):
        symlinks = entry.symlink_entry_set
        targets = tuple(each.target_id for each in symlinks.direct_entries)
        log.sets[entry.id] = InputSet(targets, tuple(symlinks.transitive_set_ids))
    elif entry.HasField("runfiles_tree"):
        tree = entry.runfiles_tree
        log.sets[entry.id] = InputSet((), tuple(filter(None, (tree.input_set_id, tree.symlinks_id, tree.root_symlinks_id))))
    elif entry.HasField("spawn"):
        log.actions.append(_make_action(log, position, entry.spawn, placeholders))
    elif entry.HasField("symlink_action"):
        action = entry.symlink_action
        output = Item(action.output_path, "")
        log.actions.append(
            Action(position, action.target_label, action.mnemonic, 0, (output,), "", link_target=action.input_path)
        )


def _make_file(file: Any) -> Item:
    return Item(file.path, file.digest.hash)


def _make_directory(directory: Any) -> Item:
    """Returns the item of a directory. Its digest does not depend on the order of its files."""
    files = tuple(sorted((file.path, file.digest.hash) for file in directory.files))
    return Item(directory.path, hashlib.sha256(repr(files).encode()).hexdigest(), files)


def _make_action(log: ExecutionLog, position: int, spawn: Any, placeholders: Mapping[str, str]) -> Action:
    """Returns the action of a spawn."""
    command = _make_command(spawn, placeholders)
    text = repr((command.arguments, sorted(command.environment.items())))
    return Action(
        position,
        spawn.target_label,
        spawn.mnemonic,
        spawn.input_set_id,
        tuple(log.items[output.output_id] for output in spawn.outputs if output.output_id in log.items),
        hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest(),
        runner=spawn.runner,
        is_cached=spawn.cache_hit,
    )


def _make_command(spawn: Any, placeholders: Mapping[str, str]) -> Command:
    return Command(
        tuple(_replace(argument, placeholders) for argument in spawn.args),
        {
            variable.name: _replace(variable.value, placeholders)
            for variable in spawn.env_vars
            if variable.name not in FAKETIME_VARIABLES
        },
    )


def _replace(text: str, placeholders: Mapping[str, str]) -> str:
    """Returns a text with placeholders; a longer text is replaced before the texts that it contains."""
    for value in sorted(placeholders, key=len, reverse=True):
        text = text.replace(value, placeholders[value])
    return text


def _error(path: str, what: str) -> InputError:
    return InputError([format_problem("execution log", path, what)])
