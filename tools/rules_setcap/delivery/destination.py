"""Resolves the destination of an image: the repository and tags of a registry, or its name in a container engine.

Placeholders such as `{BUILD_USER}` are replaced by the values of the workspace status.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rules_setcap.diagnostics.errors import format_problem
from rules_setcap.diagnostics.problems import Problems
from rules_setcap.oci import reference
from rules_setcap.oci.image_attributes import values

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from rules_setcap.actions.stamps import Status


def resolve_registry_destination(
    *,
    repository: str,
    repository_file: str,
    remote_tags: Iterable[str],
    remote_tags_file: str,
    status: Status,
    problems: Problems,
) -> dict[str, object]:
    """Resolves the destination of image_push.

    Args:
      repository: the attribute of that name; "" if it is not set.
      repository_file: the path of a file that has the repository; "" if there is none.
      remote_tags: the attribute of that name.
      remote_tags_file: the path of a file with a tag in each line; "" if there is none.
      status: the workspace status.
      problems: the collector of problems.

    Returns:
      A dict: `repository` (str; "" if the command line must have it) and `tags` (list of str).
    """
    if repository and repository_file:
        problems.add("repository", repository, "is set, and so is repository_file; keep one")
    elif repository_file:
        lines = values.read_lines(repository_file, "repository_file", problems)
        if len(lines) == 1:
            (line,) = lines
            repository = _resolve_line("repository_file", repository_file, line, reference.check_repository, status, problems)
        else:
            problems.add("repository_file", repository_file, f"has {len(lines)} lines; it must have one, the repository")
    elif repository:
        repository = _resolve_value("repository", repository, reference.check_repository, status, problems)
    tags = [_resolve_value("remote_tags", tag, reference.check_tag, status, problems) for tag in remote_tags]
    if remote_tags_file:
        tags += [
            _resolve_line("remote_tags_file", remote_tags_file, line, reference.check_tag, status, problems)
            for line in values.read_lines(remote_tags_file, "remote_tags_file", problems)
        ]
    status.check_used("repository or remote_tags", problems)
    return {"repository": repository, "tags": list(dict.fromkeys(tags))}


def resolve_engine_destination(tag: str, status: Status, problems: Problems) -> dict[str, object]:
    """Resolves the destination of image_load.

    Args:
      tag: the attribute of that name.
      status: the workspace status.
      problems: the collector of problems.

    Returns:
      A dict: `name` (str), the name of the image with its tag.
    """
    name = _resolve_value("tag", tag, reference.complete_image_name, status, problems)
    status.check_used("tag", problems)
    return {"name": name}


def _resolve_value(attribute: str, text: str, check: Callable[[str], str | None], status: Status, problems: Problems) -> str:
    """Expands the placeholders of a value and checks it.

    Args:
      attribute: the attribute that has the value, for messages.
      text: the value.
      check: raises ValueError if the expanded value is not valid; may return another form of it.
      status: the workspace status.
      problems: the collector of problems.

    Returns:
      The expanded value, or its other form.
    """
    try:
        expanded = status.expand(text)
        return check(expanded) or expanded
    except ValueError as error:
        problems.add(attribute, text, str(error))
        return text


def _resolve_line(
    attribute: str,
    path: str,
    line: tuple[int, str],
    check: Callable[[str], str | None],
    status: Status,
    problems: Problems,
) -> str:
    """Resolves the value in a line of a file as _resolve_value() does. Messages name the file and the line."""
    number, text = line
    line_problems = Problems()
    value = _resolve_value(attribute, text.strip(), check, status, line_problems)
    problems.extend(format_problem(attribute, path, f"line {number}, {message.partition(': ')[2]}") for message in line_problems)
    return value
