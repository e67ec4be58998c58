r"""Reads and writes allowlists of `getcap --review`.

A line allows the privileges of one file, in the format in which getcap prints them, or a problem of the image:

    # Comments and empty lines are skipped.
    /usr/bin/ping cap_net_raw=p
    /usr/bin/passwd set-user-ID=0                       # users change their own password
    /usr/bin/python3.13 cap_net_bind_service=ep accept=RSC204
    /opt/my\ server cap_net_bind_service=p
    problem "\"/usr/bin/x\": capabilities on a directory, which mean nothing"

Lines with the same path are alternatives. A path is written as getcap prints it (diagnostics.errors.escape): a backslash as
`\\`, a space as `\ `, other characters that are not printable as `\n`, `\uHHHH` and so on. A path in double quotes is read as
a JSON string.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

from rules_setcap import capabilities
from rules_setcap.capabilities import CapabilityError
from rules_setcap.diagnostics import limits
from rules_setcap.diagnostics.errors import InputError, escape, format_problem, quote
from rules_setcap.diagnostics.problems import Problems
from rules_setcap.getcap import review_rules
from rules_setcap.getcap.allowlist import Allowlist, AllowlistLine, format_image_problem
from rules_setcap.getcap.privileges import describe_privileges

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from rules_setcap.getcap.review_image import Review

_ESCAPED_PATH = re.compile(r"/(?:[^\s\\]|\\.)*")
_ESCAPE = re.compile(r"\\(?:x([89a-f][0-9a-f])|u([0-9a-f]{4})|U(000[0-9a-f]{5}|0010[0-9a-f]{4})|(.))")
_ESCAPED_CHARACTERS = {"\\": "\\", " ": " ", "n": "\n", "r": "\r", "t": "\t"}
_SET_ID = re.compile(r"(set-user-ID|set-group-ID)=([0-9]{1,10})", re.ASCII)
_ROOTID = re.compile(r"\[rootid=([0-9]{1,10})\]", re.ASCII)
_COMMENT = re.compile(r"(?:^|\s)#\s?(.*)$")
_PROBLEM = "problem "


def parse_allowlist(data: bytes, name: str) -> Allowlist:
    """Parses an allowlist.

    Args:
      data: the content of the file; if it is longer than limits.TEXT bytes, the first limits.TEXT + 1 of them.
      name: the path of the file, for messages.

    Raises:
      InputError: with all lines that are not valid.
    """
    if len(data) > limits.TEXT:
        raise InputError([format_problem("--allow", name, f"more than {limits.TEXT} bytes")])
    try:
        text = data.decode()
    except UnicodeDecodeError:
        raise InputError([format_problem("--allow", name, "not UTF-8 text")]) from None
    lines: list[AllowlistLine] = []
    problems = Problems()
    for number, line_text in enumerate(text.split("\n"), 1):
        location = f"{name}:{number}"
        try:
            line = _parse_line(line_text.strip(), location)
        except CapabilityError as error:
            problems.extend(f"{location}: {message}" for message in error.problems)
        except ValueError as error:
            problems.add_message(f"{location}: {error}")
        else:
            lines += [line] if line else []
    problems.raise_if_any()
    return Allowlist(lines)


def _parse_line(text: str, location: str) -> AllowlistLine | None:
    """Parses a line; returns None if it is empty or a comment.

    Args:
      text: the line, without white space around it.
      location: the file and the number of the line.

    Raises:
      ValueError: the line is not valid; the text says why.
      CapabilityError: the capability text is not valid.
    """
    if not text or text.startswith("#"):
        return None
    if text.startswith(_PROBLEM):
        message, rest = _parse_json_string(text.removeprefix(_PROBLEM).lstrip())
        return AllowlistLine(location, "", problem=message, reason=_split_comment(rest)[1])
    path, rest = _parse_path(text)
    rest, reason = _split_comment(rest)
    line = AllowlistLine(location, path, reason=reason)
    _parse_privileges(line, rest.split())
    if line.capabilities is None and line.set_user_id is None and line.set_group_id is None and not line.accepted_ids:
        raise ValueError(
            f"{quote(text)}: allows no privilege of the file; write its capabilities, set-user-ID=UID or set-group-ID=GID"
        )
    return line


def _parse_path(text: str) -> tuple[str, str]:
    """Parses the path at the beginning of a line; returns it and the rest of the line.

    Raises:
      ValueError: the line does not begin with a valid path.
    """
    if text.startswith('"'):
        path, rest = _parse_json_string(text)
    else:
        match = _ESCAPED_PATH.match(text)
        path, rest = (_ESCAPE.sub(_unescape, match[0]), text[match.end() :]) if match else ("", text)
    if not path.startswith("/") or rest[:1].strip():
        raise ValueError(f"{quote(text)}: must begin with an absolute path, as getcap prints it")
    return path, rest


def _unescape(match: re.Match[str]) -> str:
    """Returns the character that an escape of diagnostics.errors.escape() stands for; a replacement function for re.sub()."""
    byte, short, long, character = match.groups()
    if byte:
        return chr(0xDC00 + int(byte, 16))  # As os.fsdecode() decodes a byte that is not UTF-8.
    if short or long:
        return chr(int(short or long, 16))
    if character not in _ESCAPED_CHARACTERS:
        raise ValueError(f"{quote(match[0])}: not a valid escape; write the path as getcap prints it")
    return _ESCAPED_CHARACTERS[character]


def _parse_privileges(line: AllowlistLine, words: Sequence[str]) -> None:
    """Sets the attributes of a line from the words after its path.

    Raises:
      ValueError: a word is not valid.
      CapabilityError: the capability text is not valid.
    """
    rootid, clauses = 0, []
    for word in words:
        if match := _SET_ID.fullmatch(word):
            if match[1] == "set-user-ID":
                line.set_user_id = int(match[2])
            else:
                line.set_group_id = int(match[2])
        elif word.startswith(("set-user-ID", "set-group-ID")):
            raise ValueError(f"{quote(word)}: not valid; write {word[: word.index('ID') + 2]}= and a number")
        elif match := _ROOTID.fullmatch(word):
            rootid = int(match[1])
        elif word.startswith("accept="):
            line.accepted_ids = frozenset(word.removeprefix("accept=").split(","))
            if unknown := sorted(line.accepted_ids - review_rules.ACCEPTABLE_IDS):
                ids = ", ".join(sorted(review_rules.ACCEPTABLE_IDS))
                raise ValueError(
                    f"{quote(word)}: {quote(unknown[0])} is not the id of a rule that can be accepted; write one of {ids}"
                )
        else:
            clauses.append(word)
    if clauses:
        line.capabilities = capabilities.from_text(" ".join(clauses))._replace(rootid=rootid)
    elif rootid:
        raise ValueError(f'"[rootid={rootid}]": must follow capabilities')


def _parse_json_string(text: str) -> tuple[str, str]:
    """Parses the JSON string at the beginning of a text; returns its value and the rest of the text.

    Raises:
      ValueError: there is no JSON string.
    """
    try:
        value, end = json.JSONDecoder().raw_decode(text)
    except ValueError:
        value, end = None, 0
    if not isinstance(value, str):
        raise ValueError(f"{quote(text)}: not a valid JSON string")
    return value, text[end:]


def _split_comment(text: str) -> tuple[str, str]:
    """Splits the rest of a line into the part before the comment, and the comment."""
    match = _COMMENT.search(text)
    return (text[: match.start()], match[1].strip()) if match else (text, "")


def format_allowlist(reviews: Iterable[Review], old: Allowlist) -> str:
    """Returns an allowlist of everything that images have.

    Args:
      reviews: the reviews of the images.
      old: an allowlist, from which the reasons of unchanged lines are taken.
    """
    reasons = {_make_key(line): line.reason for line in old.lines if line.reason}
    sort_keys: dict[str, tuple[bool, str]] = {}  # By line: problems are last, files are in the order of their paths.
    for review in reviews:
        accepted_ids: dict[str, set[str]] = {}
        for finding in review.findings:
            if finding.rule.id in review_rules.ACCEPTABLE_IDS:
                accepted_ids.setdefault(finding.path, set()).add(finding.rule.id)
            elif problem_text := format_image_problem(finding):
                sort_keys[_PROBLEM + json.dumps(problem_text)] = True, ""
        privileges = {file.path: describe_privileges(file) for file in review.files}
        for path in {*privileges, *accepted_ids}:
            words = [escape(path)]
            if path in privileges:
                words.append(privileges[path])
            if path in accepted_ids:
                words.append("accept=" + ",".join(sorted(accepted_ids[path])))
            sort_keys[" ".join(words)] = False, path
    lines = []
    for text in sorted(sort_keys, key=lambda text: (sort_keys[text], text)):
        line = _parse_line(text, "")
        assert line
        reason = reasons.get(_make_key(line), "")
        lines.append(text + (f"  # {reason}" if reason else "") + "\n")
    return "".join(lines)


def _make_key(line: AllowlistLine) -> tuple[object, ...]:
    """Returns what two lines have in common that allow the same."""
    return line.path, line.capabilities, line.set_user_id, line.set_group_id, line.problem
