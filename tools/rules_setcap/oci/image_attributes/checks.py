"""Checks the attributes of an image that can be checked without reading the base."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from rules_setcap.archive.paths import normalize_path
from rules_setcap.diagnostics.errors import quote
from rules_setcap.diagnostics.problems import Problems
from rules_setcap.oci.image_attributes.signals import find_signal_fault
from rules_setcap.oci.platforms import find_platform_fault, parse_platform

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

_MAX_ID = (1 << 31) - 1
"""The greatest uid and gid that container engines accept (github.com/moby/sys/user)."""

_MAX_NAME = 255  # LOGIN_NAME_MAX without its NUL.
_PROTOCOLS = ("sctp", "tcp", "udp")


def check_attributes(spec: Mapping[str, Any], problems: Problems) -> None:
    """Checks the attributes of an image.

    Args:
      spec: the attributes, as the rule writes them.
      problems: collects what is wrong.
    """
    if spec["user"]:
        for fault in _find_user_faults(spec["user"]):
            problems.add("user", spec["user"], fault)
    if spec["stop_signal"] and (fault := find_signal_fault(spec["stop_signal"])):
        problems.add("stop_signal", spec["stop_signal"], fault)
    _check_directories("working_dir", [spec["working_dir"]] if spec["working_dir"] else [], problems)
    _check_directories("volumes", spec["volumes"], problems)
    parse_ports(spec["exposed_ports"], problems)
    for name in ("entrypoint", "cmd"):
        for word in spec[name] or ():
            if "\0" in word:
                problems.add(name, word, "must not have a NUL character")
    if spec["entrypoint"] and not spec["entrypoint"][0]:
        problems.add("entrypoint", "", "the program must not be empty")


def resolve_platform(text: str, problems: Problems) -> dict[str, str]:
    """Returns the platform of an image: os, architecture and variant, all "" if it is not valid.

    Args:
      text: the attribute platform, or the platform that Bazel builds for; "" if that is not known.
      problems: collects what is wrong with the platform.
    """
    try:
        platform = parse_platform(text)
        fault = find_platform_fault(**platform)
    except ValueError as error:
        platform = {"os": "", "architecture": "", "variant": ""}
        fault = str(error) if text else 'the CPU of the target platform is not known; set the attribute, as "linux/amd64"'
    if fault:
        problems.add("platform", text, fault)
    return platform


def parse_ports(ports: Sequence[str], problems: Problems | None = None) -> list[str]:
    """Returns `port/protocol` for each port; the protocol is tcp where none is written.

    Args:
      ports: the attribute exposed_ports.
      problems: collects invalid ports; None if the ports have been checked.
    """
    problems = Problems() if problems is None else problems
    parsed: dict[str, str] = {}
    for text in ports:
        number, slash, protocol = text.partition("/")
        port = f"{number}/{protocol or 'tcp'}"
        fault = ""
        if re.fullmatch(r"[0-9]+[-:][0-9]+", number, re.ASCII):
            fault = "must be one port of the container; write each port by itself"
        elif not re.fullmatch(r"[0-9]+", number, re.ASCII):
            fault = 'not a valid port; write it as "80", "80/tcp" or "53/udp"'
        elif not 1 <= int(number[:9]) < 1 << 16:
            fault = f"port {number} is out of range (1 to 65535)"
        elif number[0] == "0":
            fault = f'not a valid port; write it as "{number.lstrip("0")}"'
        elif slash and protocol not in _PROTOCOLS:
            fault = f"{quote(protocol)} is not a valid protocol; it must be tcp, udp or sctp"
        elif port in parsed:
            fault = f"the same port as {quote(parsed[port])}; keep one"
        if fault:
            problems.add("exposed_ports", text, fault)
        parsed.setdefault(port, text)
    return list(parsed)


def _find_user_faults(user: str) -> list[str]:
    """Returns what is wrong with a user, one sentence for each fault."""
    parts = user.split(":")
    if len(parts) > 2 or not all(re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.@-]*", part, re.ASCII) for part in parts):
        return ["not a valid user; write uid, uid:gid, or names"]
    faults = []
    for name, part in zip(("uid", "gid"), parts, strict=False):
        if part.isdecimal() and int(part[:11]) > _MAX_ID:
            faults.append(f"{name} {part} is out of range (0 to {_MAX_ID}, which is what container engines take)")
        elif len(part) > _MAX_NAME:
            faults.append(f"a name must not have more than {_MAX_NAME} characters")
    return faults


def _check_directories(attribute: str, paths: Sequence[str], problems: Problems) -> None:
    """Adds a problem for each path that is not absolute, is not normalized, or repeats another."""
    checked: set[str] = set()
    for path in paths:
        directory = path.rstrip("/")
        fault = ""
        try:
            if path.startswith("/") and not directory:
                fault = "the root directory cannot be a volume" if attribute == "volumes" else ""
            else:
                directory = normalize_path(path)
        except ValueError as error:
            fault = str(error)
        if not fault and directory in checked:
            fault = "is there twice; keep one"
        if fault:
            problems.add(attribute, path, fault)
        checked.add(directory)
