"""The command `getcap explain`, or `imagecap explain`: prints which capabilities the process of a container gets."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from rules_setcap.containers.docker import command_line
from rules_setcap.containers.engines import Engine, parse_engine
from rules_setcap.containers.fixes import find_fixes_of_refusal
from rules_setcap.containers.judge import judge_plan
from rules_setcap.containers.settings import Settings
from rules_setcap.containers.verdict import Plan, make_candidate_plans
from rules_setcap.diagnostics import limits
from rules_setcap.diagnostics.command_line import CommandParser
from rules_setcap.diagnostics.errors import InputError, format_problem
from rules_setcap.diagnostics.standard_input import reject_repeated_standard_input
from rules_setcap.getcap import exit_statuses, explain_report
from rules_setcap.getcap.inputs import IMAGE_HELP, describe_choice, read_file, read_images
from rules_setcap.oci.named_images import IMAGE_FLAG, IMAGE_FLAG_HELP

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from rules_setcap.diagnostics.program_names import ProgramNames
    from rules_setcap.oci import image_reader

_DESCRIPTION = """\
Prints which capabilities the process of a container gets, from an image and the settings of a container runtime: the verdict,
the reasons, and a fix. Without --docker-run, --kubernetes or --compose, the container is that of "docker run IMAGE", or has the
defaults of --runtime."""
_EXAMPLES = (
    "{explain} image --docker-run 'docker run --cap-drop=ALL app'",
    "{explain} app.tar --kubernetes deploy.yaml --container Deployment/app/server",
    "helm template chart | {explain} image --kubernetes -",
    "{explain} image --compose compose.yaml --service web",
    "{explain} image --runtime podman@4.9.3 --json",
)
_NOTES = (
    """\
The status is 3 if a program of the chain cannot be followed; --program can name the last one. docs/settings.md describes which
settings are read.""",
)
_GOOD, _BAD, _UNKNOWN = 0, 1, 3


def explain_container(arguments: Sequence[str], names: ProgramNames) -> int:
    """Runs the command and returns the exit status: 0, 1 or 3, as exit_statuses.EXPLAIN describes them.

    Raises:
      InputError: the image or the settings are invalid.
      OSError: a file cannot be read.
    """
    options = _parse_options(arguments, names)
    report, status = make_report(options, names)
    explain_report.print_report(report, options.json)
    return status


def make_report(options: argparse.Namespace, names: ProgramNames) -> tuple[dict[str, Any], int]:
    """Returns the report on a container, as explain_report describes it, and the exit status of the command.

    Args:
      options: the command line, as make_parser() parses it.
      names: the names of the program, for messages.

    Raises:
      InputError: the image or the settings are invalid.
      OSError: a file cannot be read.
    """
    plan = _make_plan(options, names)
    try:
        verdict = judge_plan(plan)
    except InputError as error:
        # A container that the runtime refuses because of runAsNonRoot has a verdict; other problems are errors of the input.
        run_as_non_root = plan.settings.run_as_non_root
        if not run_as_non_root or not all(message.startswith(run_as_non_root.where) for message in error.problems):
            raise
        fixes = find_fixes_of_refusal(plan, error)
        return explain_report.make_refusal_report(error.problems, fixes, plan.settings.notes), _BAD
    unknown = verdict.chain.unknown_reason
    report = explain_report.make_report(
        verdict,
        plan.settings.notes,
        plan.image.problems,
        [judge_plan(candidate) for candidate in make_candidate_plans(plan)] if unknown else [],
    )
    if not verdict.is_proven:
        return report, _UNKNOWN
    return report, _GOOD if verdict.is_good and not plan.image.problems else _BAD


def make_parser(names: ProgramNames) -> CommandParser:
    """Returns the parser of the command line after `explain`."""
    parser = CommandParser(
        names.explain,
        _DESCRIPTION,
        examples=[names.fill(example) for example in _EXAMPLES],
        statuses=exit_statuses.EXPLAIN,
        notes=_NOTES,
        program=names.program,
    )
    parser.add_argument("image", metavar="IMAGE", help=IMAGE_HELP)
    source = parser.add_mutually_exclusive_group()
    source.add_argument("--docker-run", metavar="COMMAND", help='the whole command line: "docker run ..." or "podman run ..."')
    source.add_argument("--kubernetes", metavar="FILE", help='Kubernetes manifests; "-" for standard input')
    source.add_argument("--compose", metavar="FILE", help='a Compose file; "-" for standard input')
    parser.add_argument("--container", metavar="NAME", help="the container of --kubernetes, as name or Kind/name/container")
    parser.add_argument("--service", metavar="NAME", help="the service of --compose")
    parser.add_argument(
        "--runtime", metavar="NAME[@VERSION]", help="docker, podman, containerd or cri-o; the newest version by default"
    )
    parser.add_argument("--platform", default="", metavar="OS/ARCH[/VARIANT]", help="of an index, the image for this platform")
    parser.add_argument(IMAGE_FLAG, default="", metavar="NAME", dest="image_name", help=IMAGE_FLAG_HELP)
    parser.add_argument(
        "--program", default="", metavar="PATH", help="the container's own program, if the command does not lead to it"
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    return parser


def _parse_options(arguments: Sequence[str], names: ProgramNames) -> argparse.Namespace:
    """Parses the command line; exits with 2 if a flag is wrong."""
    parser = make_parser(names)
    options = parser.parse_command(arguments)
    for flag, required in (("container", "kubernetes"), ("service", "compose")):
        if getattr(options, flag) is not None and getattr(options, required) is None:
            parser.error(f"--{flag} needs --{required}")
    if options.compose is not None and options.service is None:
        parser.error("--compose needs --service")
    reject_repeated_standard_input(parser, [options.image, options.kubernetes, options.compose])
    return options


def _make_plan(options: argparse.Namespace, names: ProgramNames) -> Plan:
    """Reads the settings and the image.

    Raises:
      InputError: the settings or the image are invalid.
      OSError: a file cannot be read.
    """
    engine = parse_engine(options.runtime) if options.runtime else None
    settings = _read_settings(options, engine.name if engine else "", names)
    if engine and engine.name != settings.engine_name:
        raise InputError([format_problem("--runtime", options.runtime, f"the settings are for {settings.engine_name}")])
    image = _read_only_image(options, names)
    return Plan(image, settings, engine or Engine(settings.engine_name), options.program)


def _read_settings(options: argparse.Namespace, engine_name: str, names: ProgramNames) -> Settings:
    """Returns the settings of the container.

    Args:
      options: the command line.
      engine_name: the engine that --runtime names; "" for the default.
      names: the names of the program, for messages.
    """
    if options.docker_run is not None:
        return command_line.read_command_line(options.docker_run, "--docker-run")
    if options.compose is not None:
        from rules_setcap.containers.compose import files

        return files.read_service(
            read_file(options.compose, limits.YAML, "--compose", names), options.compose, options.service, os.environ
        )
    if options.kubernetes is not None:
        data = read_file(options.kubernetes, limits.YAML, "--kubernetes", names)
        return _read_kubernetes_settings(data, options.kubernetes, options.container, engine_name or "containerd")
    return _make_default_settings(engine_name or "docker")


def _read_kubernetes_settings(data: bytes, path: str, container: str | None, engine_name: str) -> Settings:
    """Returns the settings of a container in a file of manifests."""
    from rules_setcap.containers import kubernetes

    if engine_name not in ("containerd", "cri-o"):
        raise InputError(
            [format_problem("--runtime", engine_name, "nodes of Kubernetes run containerd or cri-o; write one of these")]
        )
    manifest = kubernetes.parse_manifest(data, path, engine_name, partial=True)
    return kubernetes.select_container(manifest, container, path, "--container", "--kubernetes").settings


def _make_default_settings(engine_name: str) -> Settings:
    """Returns the settings of a container that a runtime starts from an image, without other options."""
    where = f"{engine_name} run" if engine_name in ("docker", "nerdctl", "podman") else "the container"
    return Settings(where=where, engine_name=engine_name)


def _read_only_image(options: argparse.Namespace, names: ProgramNames) -> image_reader.Image:
    """Reads the image that the command line chooses.

    Raises:
      InputError: there are several images, or none.
    """
    images = read_images(options.image, options.platform, names, image_name=options.image_name)
    if len(images) > 1:
        raise InputError([format_problem("image", options.image, describe_choice(images))])
    return images[0]
