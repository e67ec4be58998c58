"""Where an image goes: the repository and tags of a registry, or its name in a container engine.

What the target says, in attributes or files, with the values of the workspace status in
place of `{KEY}`; checked, all problems at once.
"""

from __future__ import annotations

from . import reference, stamps
from .errors import problem

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Callable, Iterable, Mapping

_MAX_FILE = 1 << 16


def registry(
    *,
    repository: str,
    repository_file: str,
    remote_tags: Iterable[str],
    remote_tags_file: str,
    status: Mapping[str, str],
    problems: list[str],
) -> dict[str, object]:
    """What the program that pushes reads.

    Args:
      repository: as the attribute has it; "" if it has none.
      repository_file: path of a file that holds it; "" if there is none.
      remote_tags: as the attribute has them.
      remote_tags_file: path of a file with a tag per line; "" if there is none.
      status: of the workspace; nothing if the target is not stamped.
      problems: gets what is wrong.

    Returns:
      `repository` (str; "" where it is for the command line to say) and `tags` (list of str).
    """
    where = "repository"
    if repository and repository_file:
        problems.append(problem(where, repository, f"is in repository_file ({repository_file}) as well; keep one"))
    elif repository_file:
        where = f"repository_file: {repository_file}"
        lines = _lines(repository_file, where, problems)
        if len(lines) == 1:
            (repository,) = lines
        else:
            problems.append(f"{where}: {len(lines)} lines; it holds one repository")
    if repository:
        repository = _value(where, repository, reference.check_repository, status, problems)
    found = [_value("remote_tags", tag, reference.check_tag, status, problems) for tag in remote_tags]
    if remote_tags_file:
        where = f"remote_tags_file: {remote_tags_file}"
        found += [_value(where, tag, reference.check_tag, status, problems) for tag in _lines(remote_tags_file, where, problems)]
    return {"repository": repository, "tags": list(dict.fromkeys(found))}


def engine(tag: str, status: Mapping[str, str], problems: list[str]) -> dict[str, object]:
    """What the program that loads reads: `name`, in full."""
    return {"name": _value("tag", tag, reference.local_name, status, problems)}


def _lines(path: str, where: str, problems: list[str]) -> list[str]:
    """The lines of a file that have something in them."""
    with open(path, "rb") as file:
        data = file.read(_MAX_FILE + 1)
    try:
        text = data.decode()
    except UnicodeDecodeError:
        text = ""
    if len(data) > _MAX_FILE or (data and not text):
        problems.append(f"{where}: no text of at most {_MAX_FILE} bytes")
        return []
    return [line.strip() for line in text.splitlines() if line.strip()]


def _value(
    where: str, text: str, check: Callable[[str], str | None], status: Mapping[str, str], problems: list[str]
) -> str:
    """What the user wrote, stamped and checked; as the check returns it, if it does."""
    try:
        stamped = stamps.expand(text, status)
        return check(stamped) or stamped
    except ValueError as error:
        problems.append(problem(where, text, str(error)))
        return text
