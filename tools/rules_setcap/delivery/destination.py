"""Where an image goes: the repository and tags of a registry, or its name in a container engine.

What the target says, in attributes or files, with the values of the workspace status in
place of `{KEY}`; checked, all problems at once.
"""

from __future__ import annotations

from rules_setcap.diagnostics.errors import problem
from rules_setcap.diagnostics.problems import Problems
from rules_setcap.oci import reference
from rules_setcap.oci.image_attributes import values

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Callable, Iterable

    from rules_setcap.actions.stamps import Status


def registry(
    *,
    repository: str,
    repository_file: str,
    remote_tags: Iterable[str],
    remote_tags_file: str,
    status: Status,
    problems: Problems,
) -> dict[str, object]:
    """What the program that pushes reads.

    Args:
      repository: as the attribute has it; "" if it has none.
      repository_file: path of a file that holds it; "" if there is none.
      remote_tags: as the attribute has them.
      remote_tags_file: path of a file with a tag per line; "" if there is none.
      status: the workspace status.
      problems: gets what is wrong.

    Returns:
      `repository` (str; "" where it is for the command line to say) and `tags` (list of str).
    """
    if repository and repository_file:
        problems.add("repository", repository, "is given beside repository_file; keep one")
    elif repository_file:
        lines = values.read_lines(repository_file, "repository_file", problems)
        if len(lines) == 1:
            (line,) = lines
            repository = _line("repository_file", repository_file, line, reference.check_repository, status, problems)
        else:
            problems.add("repository_file", repository_file, f"has {len(lines)} lines; it must hold one repository")
    elif repository:
        repository = _value("repository", repository, reference.check_repository, status, problems)
    tags = [_value("remote_tags", tag, reference.check_tag, status, problems) for tag in remote_tags]
    if remote_tags_file:
        tags += [
            _line("remote_tags_file", remote_tags_file, line, reference.check_tag, status, problems)
            for line in values.read_lines(remote_tags_file, "remote_tags_file", problems)
        ]
    status.check_used("repository or remote_tags", problems)
    return {"repository": repository, "tags": list(dict.fromkeys(tags))}


def engine(tag: str, status: Status, problems: Problems) -> dict[str, object]:
    """Returns what the program that loads reads: `name`, the image's name with its tag."""
    name = _value("tag", tag, reference.complete_image_name, status, problems)
    status.check_used("tag", problems)
    return {"name": name}


def _value(attribute: str, text: str, check: Callable[[str], str | None], status: Status, problems: Problems) -> str:
    """Returns a value with its placeholders expanded and checked; as the check returns it, if it does."""
    try:
        stamped = status.expand(text)
        return check(stamped) or stamped
    except ValueError as error:
        problems.add(attribute, text, str(error))
        return text


def _line(
    attribute: str, path: str, line: tuple[int, str], check: Callable[[str], str | None], status: Status, problems: Problems
) -> str:
    """Returns the value in a line of a file, as _value() does."""
    number, text = line
    found = Problems()
    value = _value(attribute, text.strip(), check, status, found)
    problems.extend(problem(attribute, path, f"line {number}, {one.partition(': ')[2]}") for one in found)
    return value
