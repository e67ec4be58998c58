"""The names of the programs that users run and of their commands, for --help and messages.

imagecap has all commands. getcap and image_diff are programs with some of the same commands under other names.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass


@dataclass(frozen=True, slots=True)
class ProgramNames:
    """A program and its commands, as users type them.

    Attributes:
      program: the program.
      get: the command that lists capabilities.
      explain: the command that explains what a container gets.
      review: the command that reports dangers.
      diff: the command that compares images.
    """

    program: str
    get: str
    explain: str
    review: str
    diff: str

    def fill(self, text: str) -> str:
        """Returns a text with the names in place of {program}, {get}, {explain}, {review} and {diff}."""
        for name, value in asdict(self).items():
            text = text.replace(f"{{{name}}}", value)
        return text


GETCAP = ProgramNames("getcap", "getcap", "getcap explain", "getcap --review", "image_diff")
IMAGE_DIFF = ProgramNames("image_diff", "getcap", "getcap explain", "getcap --review", "image_diff")
IMAGECAP = ProgramNames("imagecap", "imagecap get", "imagecap explain", "imagecap review", "imagecap diff")
