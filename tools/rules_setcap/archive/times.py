"""Parses times that users write: seconds since 1970, or RFC 3339."""

from __future__ import annotations

import re
import time

EPOCH = "1970-01-01T00:00:00Z"
_MIN_SECONDS, _MAX_SECONDS = -62135596800, 253402300799  # The years 1 to 9999.
_TIME = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)T([01]\d|2[0-3]):([0-5]\d):([0-5]\d)(\.\d{1,9})?(?:Z|([+-])([01]\d|2[0-3]):([0-5]\d))", re.ASCII
)


def parse_seconds(text: str) -> int:
    """Returns a time as seconds since 1970.

    Args:
      text: seconds since 1970, or a time of RFC 3339 without fractions of a second.

    Raises:
      ValueError: the time is not valid or out of range; the text is a sentence.
    """
    number = text.removeprefix("-")
    if number.isascii() and number.isdecimal():
        seconds = int(text[:20])
    else:
        seconds, fraction = _parse_rfc3339(text)
        if fraction:
            raise ValueError("must be whole seconds; leave out the fraction")
    if not _MIN_SECONDS <= seconds <= _MAX_SECONDS:
        raise ValueError(f"is out of range ({_MIN_SECONDS} to {_MAX_SECONDS} seconds since 1970)")
    return seconds


def normalize_time(text: str) -> str:
    """Returns a time in RFC 3339, as the config of an image holds it. Seconds since 1970 are converted.

    Args:
      text: seconds since 1970, or a time of RFC 3339.

    Raises:
      ValueError: the time is not valid or out of range; the text is a sentence.
    """
    if text.isascii() and text.isdecimal():
        return format_rfc3339(parse_seconds(text))
    _parse_rfc3339(text)
    return text


def format_rfc3339(seconds: int) -> str:
    """Returns seconds since 1970 as a time in RFC 3339, in UTC."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))


def _parse_rfc3339(text: str) -> tuple[int, str]:
    """Returns the whole seconds since 1970 and the fraction of a time of RFC 3339.

    Raises:
      ValueError: the text is not a valid time.
    """
    import datetime  # Few targets name a time, and the import is slow.

    match = _TIME.fullmatch(text)
    try:
        if not match:
            raise ValueError
        year, month, day, hour, minute, second = (int(match[group]) for group in range(1, 7))
        days = datetime.date(year, month, day).toordinal() - datetime.date(1970, 1, 1).toordinal()
    except ValueError:
        raise ValueError(f'not a valid time; write it as "{EPOCH}", or in seconds since 1970') from None
    offset = (int(match[9]) * 60 + int(match[10])) * 60 if match[8] else 0
    seconds = days * 86400 + hour * 3600 + minute * 60 + second
    return seconds + (offset if match[8] == "-" else -offset), match[7] or ""
