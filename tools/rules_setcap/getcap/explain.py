"""getcap explain: judges which capabilities the process of a container has, from an image and what a runtime is told."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence

from rules_setcap.capabilities.names import NAMES
from rules_setcap.containers.docker import command_line
from rules_setcap.containers.engines import Engine, parse_engine
from rules_setcap.containers.process import format_capabilities
from rules_setcap.containers.settings import Settings
from rules_setcap.containers.fixes import find_fixes_of_refusal
from rules_setcap.containers.judge import judge_plan
from rules_setcap.containers.verdict import Plan, Verdict, make_candidate_plans
from rules_setcap.diagnostics import limits
from rules_setcap.diagnostics.errors import INTERNAL, InputError, escape, printable, problem, quote
from rules_setcap.diagnostics.files import open_regular
from rules_setcap.getcap.cli import Formatter, Parser, read, to_json
from rules_setcap.oci import image_reader

_DESCRIPTION = """\
Says which capabilities the process of a container has, from an image and what a runtime is told: the verdict first, then
why, then the fix. Without --docker-run, --kubernetes or --compose: of "docker run IMAGE", or of --runtime's defaults."""
_EPILOG = f"""\
exit status: 0 if the process has all that its program's file asks for; 1 if it does not, or does not start; 2 if something
cannot be read, or a flag is wrong; 3 if that is not known: a program of the chain cannot be followed, and --program can name
the last one; {INTERNAL} after an internal error"""
_GOOD, _BAD, _UNKNOWN = 0, 1, 3
_SETS = "permitted", "effective", "inheritable", "bounding", "ambient"


def main(arguments: Sequence[str]) -> int:
    """Runs it; returns the exit status.

    Raises:
      InputError: what is given is wrong.
      OSError: a file cannot be read.
    """
    parser = Parser(prog="getcap explain", description=_DESCRIPTION, epilog=_EPILOG, allow_abbrev=False, formatter_class=Formatter)
    parser.add_argument("image", metavar="IMAGE", help="an OCI layout directory, an archive of an image, or a tar of files")
    source = parser.add_mutually_exclusive_group()
    source.add_argument("--docker-run", metavar="COMMAND", help='the whole command line: "docker run ..." or "podman run ..."')
    source.add_argument("--kubernetes", metavar="FILE", help="manifests")
    source.add_argument("--compose", metavar="FILE", help="a Compose file")
    parser.add_argument("--container", metavar="NAME", help="with --kubernetes: which, as name or Kind/name/container")
    parser.add_argument("--service", metavar="NAME", help="with --compose: which")
    parser.add_argument("--runtime", metavar="NAME[@VERSION]", help="docker, podman, containerd or cri-o; the newest by default")
    parser.add_argument("--platform", default="", metavar="OS/ARCH[/VARIANT]", help="of an index, the image for this")
    parser.add_argument("--program", default="", metavar="PATH", help="the program that it is about, if the command does not lead to it")
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args(arguments)
    for flag, of in (("container", "kubernetes"), ("service", "compose")):
        if getattr(options, flag) is not None and getattr(options, of) is None:
            parser.error(f"--{flag} goes with --{of}")
    if options.compose is not None and options.service is None:
        parser.error("--compose needs --service")
    chosen = parse_engine(options.runtime) if options.runtime else None
    if options.docker_run is not None:
        settings = command_line.read_command_line(options.docker_run, "--docker-run")
    elif options.compose is not None:
        from rules_setcap.containers.compose import files

        settings = files.read_service(_bytes(options.compose), options.compose, options.service, os.environ)
    elif options.kubernetes is not None:
        settings = _kubernetes(options.kubernetes, options.container, chosen.name if chosen else "containerd")
    else:
        settings = _defaults(chosen.name if chosen else "docker")
    if chosen and chosen.name != settings.engine_name:
        raise InputError([problem("--runtime", options.runtime, f"the settings are for {settings.engine_name}")])
    plan = Plan(_image(options.image, options.platform), settings, chosen or Engine(settings.engine_name), options.program)
    try:
        verdict = judge_plan(plan)
    except InputError as error:
        refused = settings.run_as_non_root
        if not refused or not all(text.startswith(refused.where) for text in error.problems):
            raise
        fix = find_fixes_of_refusal(plan, error)
        _print({"verdict": "does not start", "why": error.problems, "fix": fix, "notes": list(plan.settings.notes)}, options.json)
        return _BAD
    made = _report(verdict, plan.settings.notes) | {"problems": plan.image.problems}
    status = _GOOD if verdict.is_good and not plan.image.problems else _BAD
    if not verdict.is_proven:
        status = _UNKNOWN
    if verdict.chain.unknown_reason:
        made["unknown"] = {"after": verdict.hop.name, "why": verdict.chain.unknown_reason}
        made["candidates"] = [_report(judge_plan(each)) for each in make_candidate_plans(plan)]
    _print(made, options.json)
    return status


def _report(verdict: Verdict, notes: Sequence[str] = ()) -> dict[str, object]:
    """Returns a verdict as a JSON object."""
    made: dict[str, object] = {
        "verdict": _sentence(verdict),
        "why": verdict.reasons,
        "fix": verdict.fixes,
        "notes": [*notes, *verdict.notes],
        "programs": [{"path": hop.path, "script": hop.script} for hop in verdict.chain.hops],
    }
    if verdict.after is not None and not verdict.chain.unknown_reason:
        made |= {name: _names(getattr(verdict.after, name)) for name in _SETS}
        made |= {"uid": verdict.after.euid, "no_new_privs": verdict.after.no_new_privs, "secure_execution": verdict.hop.outcome.secure}
    return made


def _defaults(name: str) -> Settings:
    """Returns the settings of a container that a runtime is told nothing about but its image."""
    return Settings(where=f"{name} run" if name in ("docker", "nerdctl", "podman") else "the container", engine_name=name)


def _kubernetes(file: str, container: str | None, name: str) -> Settings:
    from rules_setcap.containers import kubernetes

    if name not in ("containerd", "cri-o"):
        raise InputError([problem("--runtime", name, "nodes of Kubernetes run containerd or cri-o")])
    manifest = kubernetes.parse_manifest(_bytes(file), file, name, partial=True)
    return kubernetes.select_container(manifest, container, file, "--container", "--kubernetes").settings


def _image(path: str, platform: str) -> image_reader.Image:
    found = read(path, platform)
    if len(found) > 1:
        names = ", ".join(quote(each.platform) for each in found)
        raise InputError([problem("image", path, f"has {len(found)} images; write --platform, one of {names}")])
    return found[0]


def _bytes(path: str) -> bytes:
    """Returns the bytes of a regular file, one more than are read at most."""
    with open_regular(path) as file:
        return file.read(limits.YAML + 1)


def _sentence(verdict: Verdict) -> str:
    """Returns the verdict in a line."""
    if verdict.chain.unknown_reason:
        return f"unknown: {verdict.hop.name} {verdict.chain.unknown_reason}"
    after = verdict.after
    if verdict.chain.failure:
        return "does not start: " + verdict.chain.failure
    if after is None:
        return "does not start: execve of it fails with EPERM, operation not permitted"
    effective, held = verdict.requested & after.effective, verdict.requested & after.permitted
    parts = []
    if effective:
        parts.append(f"with {format_capabilities(effective)} effective")
    if held & ~effective:
        parts.append(f"with {format_capabilities(held & ~effective)} permitted, and not effective until the program makes it so")
    if verdict.requested & ~held:
        parts.append(f"without {format_capabilities(verdict.requested & ~held)}")
    if not verdict.requested:
        parts.append(f"with {format_capabilities(after.effective)} effective" if after.effective else "without capabilities, and asks for none")
    return ("may run " if verdict.doubt else "runs ") + ", ".join(parts)


def _names(mask: int) -> list[str]:
    return [name for bit, name in enumerate(NAMES) if mask >> bit & 1]


def _print(made: dict[str, object], as_json: bool) -> None:
    """Prints a report."""
    if as_json:
        print(to_json(made))
        return
    for line in _lines(made, ""):
        print(printable(line))
    unfollowed = made.get("candidates")
    if unfollowed is None:
        return
    assert isinstance(unfollowed, list)
    if not unfollowed:
        print("  note: no file of the image has capabilities; --program names the program")
    else:
        print("  note: the files of the image with capabilities, if one of them is the program (--program names it):")
    for each in unfollowed:
        for line in _lines(each, "    "):
            print(printable(line))


def _lines(made: dict[str, object], indent: str) -> Iterator[str]:
    """Returns the lines of a report, without their escapes."""
    programs = made.get("programs", [])
    assert isinstance(programs, (list, tuple))
    names = [f"{escape(each['script'])} ({escape(each['path'])})" if each["script"] else escape(each["path"]) for each in programs]
    if "unknown" in made:
        names.append("?")
    yield f"{indent}{' -> '.join(names) or 'the container'}: {made['verdict']}"
    for title in ("problems", "why", "fix", "notes"):
        lines = made.get(title, [])
        assert isinstance(lines, (list, tuple))
        for line in lines:
            yield f"{indent}  {title.removesuffix('s')}: {line}"
    if "permitted" in made:
        for name in _SETS:
            listed = made[name]
            assert isinstance(listed, list)
            yield f"{indent}  {name}: {','.join(listed) or 'none'}"
