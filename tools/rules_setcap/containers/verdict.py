"""Computes whether a container's process gets the capabilities that its program's file asks for.

A verdict is a function of a plan: the image, the settings, the engine and the program. fixes.py finds a fix by computing
the verdict on a changed plan; reasons.py puts a verdict into words; judge.py puts all of these together.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from rules_setcap.capabilities import execve
from rules_setcap.capabilities.credentials import CAP_SETUID, DeniedError, capable, capset, setresuid
from rules_setcap.capabilities.names import ALL, NAMES
from rules_setcap.containers.chain import Chain, Hop
from rules_setcap.containers.engines import Engine
from rules_setcap.containers.follow import follow_chain
from rules_setcap.containers.process import InitialProcess, compute_initial_process
from rules_setcap.containers.settings import Settings
from rules_setcap.diagnostics.errors import escape
from rules_setcap.oci.image_reader import Image

_OTHER_UID = 65534
"""The uid of a user other than root to which a wrapper is tried to change."""


@dataclass(frozen=True)
class Plan:
    """A container that could run.

    Attributes:
      image: the container's image.
      settings: the container's settings.
      engine: the container engine.
      program: the path of the program that the container is about; "" to find it.
      standard: returns settings that conform to a standard, which fixes then keep; None if there is no standard.
    """

    image: Image
    settings: Settings
    engine: Engine
    program: str = ""
    standard: Callable[[Settings], Settings] | None = None


@dataclass(frozen=True)
class Verdict:
    """The answer to the question whether a container's process gets the capabilities that are requested.

    Attributes:
      requested: the capabilities, as a mask, that the program's file asks for; of a file that asks for none, those that the
        settings add by name.
      before: the process that executes the first program.
      chain: the programs of the container.
      doubt: why the verdict may be wrong; "" if it is proven.
      reasons: the rules that decided, a sentence each.
      fixes: the changes that, made together, give all requested capabilities, a sentence each.
      notes: limits of the verdict and other facts of use, a sentence each; those of `unneeded` are among them.
      unneeded: a sentence for each requested capability whose usual purpose needs no capability in this container.
    """

    requested: int
    before: InitialProcess
    chain: Chain
    doubt: str = ""
    reasons: tuple[str, ...] = ()
    fixes: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    unneeded: tuple[str, ...] = ()

    @property
    def hop(self) -> Hop:
        """The execve(2) of the program that the container is about."""
        return self.chain.hops[-1]

    @property
    def after(self) -> execve.Process | None:
        """The credentials of that program; None if it does not start."""
        return self.chain.after

    @property
    def is_good(self) -> bool:
        """Whether the program starts and has all requested capabilities in its permitted set."""
        return self.after is not None and not self.requested & ~self.after.permitted

    @property
    def is_proven(self) -> bool:
        """Whether the programs are known, and there is no doubt."""
        return not self.chain.unknown_reason and not self.doubt


def compute_verdict(plan: Plan) -> Verdict:
    """Computes the verdict on a container, without reasons, fixes and notes; judge.judge_plan() adds these.

    Args:
      plan: the container.

    Raises:
      InputError: the engine would refuse to start the container, or its user or program is not known.
    """
    config = plan.image.config.get("config") or {}
    labels = {name: text for name, text in (config.get("Labels") or {}).items() if isinstance(text, str)}
    # An image without /etc/passwd has no users. A tar that is one layer has no config, and its image's users are not known.
    users, groups = (ids if ids is not None or not plan.image.config else {} for ids in (plan.image.users, plan.image.groups))
    before = compute_initial_process(plan.settings, plan.engine, str(config.get("User") or ""), users, labels, gids=groups)
    chain = follow_chain(plan.image, plan.settings, before, plan.program)
    assigned = chain.hops[-1].file.capabilities
    requested = (assigned.permitted | assigned.inheritable) & ALL if assigned else 0
    if not requested:
        requested = sum({1 << NAMES.index(added.value) for added in plan.settings.added if added.value != "all"})
    verdict = Verdict(requested, before, chain)
    return replace(verdict, doubt=(_find_doubt_of_wrapper(verdict) if chain.assumed else "") or _find_doubt_of_namespace(verdict))


def make_candidate_plans(plan: Plan, programs: tuple[str, ...] = ()) -> list[Plan]:
    """Returns a plan for each program that a container may be about, where its chain is not known.

    Args:
      plan: the container.
      programs: the paths of the programs; if there are none, all files of the image with capabilities are taken.
    """
    plans = [replace(plan, program=path) for path in programs or plan.image.capabilities]
    return [candidate for candidate in plans if candidate.image.find_file(candidate.program)]


def _find_doubt_of_namespace(verdict: Verdict) -> str:
    """Returns why it is not known whether capabilities with a rootid count in the container's user namespace; "" if it is.

    With podman's vfs driver they count if the rootid is the uid of the namespace's root. With mapped mounts of overlay the
    program does not start (EOVERFLOW).
    """
    for hop in verdict.chain.hops:
        assigned = hop.file.capabilities
        if assigned and assigned.rootid and verdict.before.user_namespace:
            where = verdict.before.because["user_namespace"]
            return (
                f"the capabilities of {escape(hop.path)} are for the user namespace whose root is uid {assigned.rootid}: whether they count in "
                f"the container's own ({where}) depends on its mapping, and on how the runtime mounts the image"
            )
    return ""


def _find_doubt_of_wrapper(verdict: Verdict) -> str:
    """Returns how the program before the last, which has no model, may change the verdict; "" if it cannot."""
    wrapper, last = verdict.chain.hops[-2:]
    process = wrapper.outcome.process
    if process is None:
        return ""
    file = execve.File(
        last.file.capabilities, last.file.uid, last.file.gid, last.file.mode, bool(last.mount and last.mount.value.nosuid)
    )

    def would_be_good(changed: execve.Process) -> bool:
        after = execve.execve(changed, file).process
        return after is not None and not verdict.requested & ~after.permitted

    if process.euid == 0 or capable(process, CAP_SETUID):
        try:
            dropped = setresuid(process, _OTHER_UID, _OTHER_UID, _OTHER_UID)
        except DeniedError:
            dropped = process
        if would_be_good(dropped) != verdict.is_good:
            result = "without some of what is asked for" if verdict.is_good else "with all that is asked for"
            return f"{wrapper.name} may change to another user before it executes {last.name}, which then runs {result}"
    if process.permitted & verdict.requested and not verdict.is_good:
        try:
            raised = capset(process, inheritable=process.inheritable | process.permitted & process.bounding)
        except DeniedError:
            return ""
        raised = raised._replace(ambient=raised.permitted & raised.inheritable)
        if would_be_good(raised):
            return f"{wrapper.name} may raise ambient capabilities before it executes {last.name}, which then runs with all that is asked for"
    return ""
