"""The outcome of two builds of the same images."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rules_setcap.diff.model import ContentDifference, Difference
    from rules_setcap.reproduce.faults import Fault
    from rules_setcap.reproduce.variations import NotVaried, Varied


@dataclass(slots=True)
class ComparedImage:
    """An image that both builds made.

    Attributes:
      label: the label of its target.
      execution_path: its path below the execution root.
      first: the digest of the first build's image: that of the manifest or index; of an archive, that of the file.
      second: the digest of the second build's image.
      is_same: whether the files are the same, byte for byte.
      difference: how the images differ, as rules_setcap.diff describes it; None if they are the same.
      problems: sentences about what could not be compared.
    """

    label: str
    execution_path: str
    first: str
    second: str
    is_same: bool
    difference: Difference | None = None
    problems: list[str] = field(default_factory=list)


@dataclass(slots=True)
class CommandChange:
    """A difference between the commands of an action in both builds.

    Attributes:
      what: "argument", or the name of an environment variable.
      first: the text of the first build; None if it has none.
      second: the text of the second build; None if it has none.
    """

    what: str
    first: str | None
    second: str | None


@dataclass(slots=True)
class ExplainedFault:
    """A place where the builds parted, with the evidence.

    Attributes:
      fault: the action or the file.
      traces: for each variation whose values are in a file that differs, its name and the value that was found.
      commands: what differs between the commands of the action, up to a limit.
      content: how the first of its files differs, as rules_setcap.diff describes contents; None if it could not be read.
    """

    fault: Fault
    traces: list[tuple[str, str]] = field(default_factory=list)
    commands: list[CommandChange] = field(default_factory=list)
    content: ContentDifference | None = None


@dataclass(slots=True)
class Outcome:
    """The outcome of two builds.

    Attributes:
      targets: the targets and patterns that the user asked for.
      bazel: the version of Bazel.
      varied: what the builds did differently.
      not_varied: what they did not.
      runners: for each build, how many actions each runner ran.
      seconds: how long each build took, and the comparison.
      started: when each build started, in seconds since 1970.
      images: the images.
      skipped: the labels of targets that a pattern matches and that are not images.
      faults: where the builds parted, what reaches most images first.
      notes: sentences about the search for actions.
    """

    targets: list[str]
    bazel: str
    varied: list[Varied]
    not_varied: list[NotVaried]
    runners: list[dict[str, int]] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    started: list[float] = field(default_factory=list)
    images: list[ComparedImage] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    faults: list[ExplainedFault] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def is_reproducible(self) -> bool:
        """Whether both builds made the same images."""
        return all(image.is_same for image in self.images)
