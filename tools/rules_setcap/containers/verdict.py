"""Judges whether a container's process gets the capabilities that its program's file has.

A verdict is a function of a Plan: the image, the settings, the runtime and the program. A fix is found by changing the
plan and judging it again (fixes.py); reasons.py puts a verdict into words.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from rules_setcap.capabilities import execve
from rules_setcap.capabilities.credentials import CAP_SETUID, DeniedError, capable, capset, setresuid
from rules_setcap.capabilities.names import ALL, NAMES
from rules_setcap.containers.chain import Chain, Hop, follow
from rules_setcap.containers.process import Process, before_execve
from rules_setcap.containers.settings import Settings
from rules_setcap.containers.versions import Runtime
from rules_setcap.diagnostics.errors import escape
from rules_setcap.oci.image_reader import Image

_OTHER_USER = 65534
"""A user that is not root, for what becomes of a program that a wrapper starts as one."""


@dataclass(frozen=True)
class Plan:
    """A container that one could run.

    Attributes:
      image: its image.
      settings: what the runtime is told.
      runtime: the runtime.
      program: the path of the program that it is about; "" to find it.
      standard: returns settings as a standard demands them, which fixes do not contradict; None if there is no standard.
    """

    image: Image
    settings: Settings
    runtime: Runtime
    program: str = ""
    standard: Callable[[Settings], Settings] | None = None


@dataclass(frozen=True)
class Verdict:
    """What comes of a plan.

    Attributes:
      wanted: the capabilities that it is about, as a mask.
      before: the process that executes the first program.
      chain: the programs.
      doubt: why the verdict may be another one than it seems; "" if it may not.
      why: sentences.
      fixes: what to change, a sentence each; all of them together.
      notes: what is not known, or of use beyond that; what is unneeded is among them.
      unneeded: capabilities that are wanted and not needed for what they are mostly wanted for, a sentence each.
    """

    wanted: int
    before: Process
    chain: Chain
    doubt: str = ""
    why: tuple[str, ...] = ()
    fixes: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    unneeded: tuple[str, ...] = ()

    @property
    def hop(self) -> Hop:
        """The program that it is about."""
        return self.chain.hops[-1]

    @property
    def after(self) -> execve.Process | None:
        """The process in the end; None if there is none."""
        return self.chain.after

    @property
    def good(self) -> bool:
        """Whether the process has all that is wanted."""
        return self.after is not None and not self.wanted & ~self.after.permitted

    @property
    def known(self) -> bool:
        """Whether the verdict is proven: the programs are known, and nothing else could decide otherwise."""
        return not self.chain.lost and not self.doubt


def judge(plan: Plan) -> Verdict:
    """Returns the verdict on a container, with reasons and fixes.

    Raises:
      InputError: the runtime would refuse to start it, or its user or program is not known.
    """
    from rules_setcap.containers import fixes, reasons, unneeded

    verdict = bare(plan)
    verdict = replace(verdict, unneeded=() if verdict.chain.lost else tuple(unneeded.notes(plan, verdict)))
    found = () if verdict.good or verdict.chain.lost else fixes.find(plan, verdict)
    return replace(verdict, why=tuple(reasons.why(plan, verdict)), fixes=found, notes=tuple(reasons.notes(plan, verdict)))


def bare(plan: Plan) -> Verdict:
    """Returns the verdict on a container without reasons and fixes; see judge()."""
    config = plan.image.config.get("config") or {}
    labels = {name: text for name, text in (config.get("Labels") or {}).items() if isinstance(text, str)}
    # An image without /etc/passwd has no users; of a tar that is one layer, the others are not known.
    users, groups = (known if known is not None or not plan.image.config else {} for known in (plan.image.users, plan.image.groups))
    before = before_execve(plan.settings, plan.runtime, str(config.get("User") or ""), users, labels, gids=groups)
    chain = follow(plan.image, plan.settings, before, plan.program)
    known = chain.hops[-1].file.capabilities
    wanted = (known.permitted | known.inheritable) & ALL if known else 0
    if not wanted:
        # A file that asks for nothing is about what somebody granted by name.
        wanted = sum({1 << NAMES.index(one.value) for one in plan.settings.added if one.value != "all"})
    verdict = Verdict(wanted, before, chain)
    return replace(verdict, doubt=(_doubt(verdict) if chain.named else "") or _doubt_of_namespace(verdict))


def candidates(plan: Plan, programs: tuple[str, ...] = ()) -> list[Plan]:
    """Returns the plans to judge where it is not known which program a container is about.

    Args:
      plan: the container.
      programs: the paths of the programs that it may be; all files of the image with capabilities if there are none.
    """
    found = [replace(plan, program=path) for path in programs or plan.image.capabilities]
    return [each for each in found if each.image.file(each.program)]


def _doubt_of_namespace(verdict: Verdict) -> str:
    """Returns why it is not known whether capabilities with a rootid count in the container's user namespace.

    With podman's vfs driver they count if the rootid is the uid of the namespace's root; with mapped mounts of overlay the
    program does not start (EOVERFLOW).
    """
    for hop in verdict.chain.hops:
        known = hop.file.capabilities
        if known and known.rootid and verdict.before.user_namespace:
            where = verdict.before.because["user_namespace"]
            return (
                f"the capabilities of {escape(hop.path)} are for the user namespace whose root is uid {known.rootid}: whether they count in "
                f"the container's own ({where}) depends on its mapping, and on how the runtime mounts the image"
            )
    return ""


def _doubt(verdict: Verdict) -> str:
    """Returns what the program before the last, which is not known, may do to change the verdict."""
    wrapper, last = verdict.chain.hops[-2:]
    process = wrapper.outcome.process
    if process is None:
        return ""
    file = execve.File(last.file.capabilities, last.file.uid, last.file.gid, last.file.mode, bool(last.mount and last.mount.value.nosuid))

    def good(changed: execve.Process) -> bool:
        after = execve.execve(changed, file).process
        return after is not None and not verdict.wanted & ~after.permitted

    if process.euid == 0 or capable(process, CAP_SETUID):
        try:
            dropped = setresuid(process, _OTHER_USER, _OTHER_USER, _OTHER_USER)
        except DeniedError:
            dropped = process
        if good(dropped) != verdict.good:
            return f"{wrapper.name} may change to another user before it executes {last.name}, which then runs {_with(not verdict.good)}"
    if process.permitted & verdict.wanted and not verdict.good:
        held = process.permitted
        try:
            raised = capset(process, inheritable=process.inheritable | held & process.bounding)
        except DeniedError:
            return ""
        raised = raised._replace(ambient=raised.permitted & raised.inheritable)
        if good(raised):
            return f"{wrapper.name} may raise ambient capabilities before it executes {last.name}, which then runs with all that is asked for"
    return ""


def _with(good: bool) -> str:
    return "with all that is asked for" if good else "without some of what is asked for"


