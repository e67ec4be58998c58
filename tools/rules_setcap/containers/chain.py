"""The chain of programs that a container executes, one after the other, as data.

follow.py computes a chain; loader.py, verdict.py and the modules above them read it.
"""

from __future__ import annotations

from dataclasses import dataclass

from rules_setcap.capabilities import execve
from rules_setcap.containers.settings import Mount, Setting
from rules_setcap.diagnostics.errors import escape
from rules_setcap.oci.image_reader import File


@dataclass(frozen=True)
class Hop:
    """One execve(2) of a chain.

    Attributes:
      path: the path of the file whose capabilities the kernel reads.
      file: that file in the image.
      before: the credentials of the process that executes the file.
      outcome: the credentials that the kernel computes for that process, and the rules that it applies.
      script: the path of the script that the file interprets, or of the program that the file loads; "" if there is none.
      loaded: whether `script` is a program that the file, a dynamic loader, loads.
      mount: the mount that hides the image's file; None if no mount hides it.
    """

    path: str
    file: File
    before: execve.Process
    outcome: execve.Outcome
    script: str = ""
    loaded: bool = False
    mount: Setting[Mount] | None = None

    @property
    def name(self) -> str:
        """The escaped path for messages: of the script if there is one, else of the file."""
        return escape(self.script or self.path)


@dataclass(frozen=True)
class Chain:
    """The programs of a container.

    Attributes:
      hops: the execve calls in order. The last one is the program that the container is about, unless `unknown_reason` or
        `failure` is set.
      unknown_reason: why the program that the last hop executes is not known; "" if the chain is complete. The text follows
        the program's name in a sentence.
      failure: why the last hop stops before it executes the next program; "" if it does not.
      needed: the capabilities, as a mask, without which it stops.
      assumed: whether the last hop is in the chain because the user named its program. Then the program before it is only
        assumed to execute it.
    """

    hops: tuple[Hop, ...]
    unknown_reason: str = ""
    failure: str = ""
    needed: int = 0
    assumed: bool = False

    @property
    def after(self) -> execve.Process | None:
        """The credentials of the last process; None if its execve fails or an earlier program stops."""
        return None if self.failure else self.hops[-1].outcome.process
