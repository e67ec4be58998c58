"""Compares the execution logs of two builds: which files differ, and which actions read or wrote them."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rules_setcap.reproduce.execution_log import Action, ExecutionLog, Item


class LogSide:
    """The log of one of the two builds, with what is looked up in it."""

    def __init__(self, log: ExecutionLog) -> None:
        """Indexes the items and the actions by path."""
        self.log = log
        self.items: dict[str, list[Item]] = {}
        for item in log.items.values():
            self.items.setdefault(item.path, []).append(item)
        self.producers: dict[str, Action] = {}
        for action in log.actions:
            for output in action.outputs:
                self.producers[output.path] = action

    def has_equal(self, item: Item) -> bool:
        """Returns whether this build had an item with the same path and content."""
        return any(other.digest == item.digest for other in self.items.get(item.path, ()))

    def find_producer(self, path: str) -> Action | None:
        """Returns the action that made a file, or the directory that holds it."""
        while path:
            if action := self.producers.get(path):
                return action
            path = path.rpartition("/")[0]
        return None


class LogComparison:
    """The differences of two logs.

    Attributes:
      first: the log of the first build.
      second: that of the second build.
    """

    def __init__(self, first: ExecutionLog, second: ExecutionLog) -> None:
        """Indexes both logs."""
        self.first, self.second = LogSide(first), LogSide(second)
        # Whether a set has an item that differs, by the log and the id of the set.
        self._differing_sets: dict[tuple[int, int], bool] = {}

    def find_partner(self, action: Action) -> Action | None:
        """Returns the action of the second build that makes the same files as an action of the first; None if it did not run."""
        for output in action.outputs:
            partner = self.second.producers.get(output.path)
            if partner and partner.mnemonic == action.mnemonic:
                return partner
        return None

    def list_differing_outputs(self, action: Action) -> list[Item]:
        """Returns the outputs of an action of the first build that the second build made differently."""
        partner = self.find_partner(action)
        if not partner:
            return []
        digests = {output.path: output.digest for output in partner.outputs}
        return [output for output in action.outputs if digests.get(output.path) != output.digest]

    def has_equal_inputs(self, action: Action, partner: Action) -> bool:
        """Returns whether all inputs of an action were equal in both builds."""
        return not self._differs(self.first, self.second, action.inputs) and not self._differs(
            self.second, self.first, partner.inputs
        )

    def list_differing_inputs(self, action: Action, partner: Action) -> list[Item]:
        """Returns the inputs of an action of the first build that were not equal in the second, by path.

        If only the second build had further inputs, these are returned.
        """
        inputs = {item.path: item for item in self._list_differing(self.first, self.second, action.inputs)}
        inputs = inputs or {item.path: item for item in self._list_differing(self.second, self.first, partner.inputs)}
        return [inputs[path] for path in sorted(inputs)]

    def list_differing_files(self, item: Item) -> list[str]:
        """Returns the paths of the files of a directory that differ; of any other item, its own path."""
        others = [dict(other.files) for other in self.second.items.get(item.path, ())]
        if not item.files or not others:
            return [item.path]
        names = {name for name, digest in item.files if others[-1].get(name) != digest}
        names |= others[-1].keys() - {name for name, _ in item.files}
        return [f"{item.path}/{name}" for name in sorted(names)]

    def _differs(self, side: LogSide, other: LogSide, root: int) -> bool:
        """Returns whether a set has an item that the other build did not have; remembers that for each set within it."""
        known = self._differing_sets
        # A set is on the stack twice: for the sets that it includes, and after them for itself.
        stack, entered = [(root, False)], set[int]()
        while stack:
            current, is_entered = stack.pop()
            key = id(side), current
            if is_entered:
                sets = (known.get((id(side), child), False) for child in _list_sets(side, current))
                known[key] = any(sets) or any(not other.has_equal(item) for item in _list_items(side, current))
            elif key not in known and current not in entered:
                entered.add(current)
                stack.append((current, True))
                stack += [(child, False) for child in _list_sets(side, current)]
        return known[id(side), root]

    def _list_differing(self, side: LogSide, other: LogSide, root: int) -> Iterator[Item]:
        """Yields the items of a set, and of the sets that it includes, that the other build did not have."""
        stack, seen = [root], {root}
        while stack:
            current = stack.pop()
            yield from (item for item in _list_items(side, current) if not other.has_equal(item))
            for child in _list_sets(side, current):
                if child not in seen and self._differs(side, other, child):
                    seen.add(child)
                    stack.append(child)


def _list_sets(side: LogSide, identifier: int) -> Iterator[int]:
    """Yields the ids of the sets that a set includes; runfiles trees are among its items."""
    inputs = side.log.sets.get(identifier)
    if inputs:
        yield from inputs.sets
        yield from (item for item in inputs.items if item in side.log.sets)


def _list_items(side: LogSide, identifier: int) -> Iterator[Item]:
    """Yields the items that a set has itself."""
    inputs = side.log.sets.get(identifier)
    if inputs:
        yield from (side.log.items[item] for item in inputs.items if item in side.log.items)
