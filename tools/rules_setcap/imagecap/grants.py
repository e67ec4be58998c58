"""Parses the arguments PATH=CLAUSES of `imagecap set`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rules_setcap import capabilities
from rules_setcap.diagnostics.errors import quote
from rules_setcap.packer.assignments import parse_assignments

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rules_setcap.diagnostics.problems import Problems
    from rules_setcap.packer.assignments import Assignment

ATTRIBUTE = "file"
"""What messages about a path begin with."""


def parse_grants(arguments: Iterable[str], problems: Problems) -> list[Assignment]:
    """Parses arguments such as `/usr/sbin/nginx=cap_net_bind_service=ep`; one with nothing after the path takes capabilities away.

    The path ends at the first "=" after its last slash, because capability text has no slash.

    Args:
      arguments: the arguments.
      problems: the collector of problems.

    Returns:
      The assignments, one for each path.
    """
    requests = []
    for argument in arguments:
        directory, slash, last = argument.rpartition("/")
        name, equals, clauses = last.partition("=")
        if not slash and argument.partition("=")[0] and "=" in argument:
            problems.add(ATTRIBUTE, argument, f"must begin with an absolute path; write {quote('/' + argument)}")
            continue
        if not equals or not slash:
            example = quote(
                f"/{argument.strip('/') if '=' not in argument and argument.strip('/') else 'app/server'}=cap_net_bind_service=p"
            )
            problems.add(ATTRIBUTE, argument, f"must be an absolute path, =, and capability text; for instance {example}")
            continue
        path, words = f"{directory}/{name}", [clauses] if clauses.strip() else []
        if "[rootid=" in clauses:
            problems.add(ATTRIBUTE, path, f"{quote(clauses)}: a rootid cannot be assigned; leave out [rootid=...]")
            continue
        try:
            capabilities.from_list(words)
        except capabilities.CapabilityError as error:
            problems.extend(f"{ATTRIBUTE}: {quote(path)}: {text}" for text in error.problems)
            continue
        requests.append({"attribute": ATTRIBUTE, "path": path, "capabilities": words})
    return parse_assignments(requests, problems)
