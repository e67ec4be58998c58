"""Checks of an image's attributes that need nothing but the attributes."""

from __future__ import annotations

import re

from rules_setcap.archive.paths import normalize_path
from rules_setcap.diagnostics.errors import problem, quote
from rules_setcap.oci import platforms, signals

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Mapping, Sequence

_MAX_ID = (1 << 31) - 1
"""The last uid and gid that container engines take (github.com/moby/sys/user)."""

_MAX_NAME = 255  # LOGIN_NAME_MAX without its NUL.
_PROTOCOLS = ("sctp", "tcp", "udp")


def check(spec: Mapping[str, Any], problems: list[str]) -> None:
    """Adds what is wrong with the attributes.

    Args:
      spec: the attributes, as the rule writes them.
      problems: list to add to.
    """
    if spec["os"]:
        fault = platforms.find_fault(spec["os"], spec["architecture"], spec["variant"])
        if fault:
            text = "/".join(filter(None, (spec["os"], spec["architecture"], spec["variant"])))
            problems.append(problem("platform", text, fault))
    if spec["user"]:
        problems += [problem("user", spec["user"], fault) for fault in _user_faults(spec["user"])]
    if spec["stop_signal"] and (fault := signals.find_fault(spec["stop_signal"])):
        problems.append(problem("stop_signal", spec["stop_signal"], fault))
    _check_directories("working_dir", [spec["working_dir"]] if spec["working_dir"] else [], problems)
    _check_directories("volumes", spec["volumes"], problems)
    parse_ports(spec["exposed_ports"], problems)
    for name in ("entrypoint", "cmd"):
        for word in spec[name] or ():
            if "\0" in word:
                problems.append(problem(name, word, "must not have a NUL character"))
    if spec["entrypoint"] and not spec["entrypoint"][0]:
        problems.append(problem("entrypoint", "", "the program must not be empty"))


def parse_ports(ports: Sequence[str], problems: list[str]) -> list[str]:
    """Returns `port/protocol` of each port; tcp where no protocol is given."""
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
            problems.append(problem("exposed_ports", text, fault))
        parsed.setdefault(port, text)
    return list(parsed)


def _user_faults(text: str) -> list[str]:
    """Returns what is wrong with a user, a sentence each."""
    parts = text.split(":")
    if len(parts) > 2 or not all(re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.@-]*", part, re.ASCII) for part in parts):
        return ["not a valid user; write uid, uid:gid, or names"]
    faults = []
    for name, part in zip(("uid", "gid"), parts):
        if part.isdecimal() and int(part[:11]) > _MAX_ID:
            faults.append(f"{name} {part} is out of range (0 to {_MAX_ID}, which is what container engines take)")
        elif len(part) > _MAX_NAME:
            faults.append(f"a name must not have more than {_MAX_NAME} characters")
    return faults


def _check_directories(attribute: str, paths: Sequence[str], problems: list[str]) -> None:
    """Adds a problem for each path that is not absolute, not plain, or that repeats another."""
    known: set[str] = set()
    for path in paths:
        plain = path.rstrip("/")
        fault = ""
        try:
            if path.startswith("/") and not plain:
                fault = "the root directory cannot be a volume" if attribute == "volumes" else ""
            else:
                plain = normalize_path(path)
        except ValueError as error:
            fault = str(error)
        if not fault and plain in known:
            fault = "is there twice; keep one"
        if fault:
            problems.append(problem(attribute, path, fault))
        known.add(plain)
