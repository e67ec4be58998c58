"""Checks paths in an image, and text that a tar holds."""

from __future__ import annotations

from rules_setcap.diagnostics.errors import quote


def normalize_path(path: str) -> str:
    """Returns a path in the form that entries have: absolute, without a trailing slash.

    Raises:
      ValueError: the path is not valid; the text says why.
    """
    if not path.startswith("/"):
        raise ValueError(f"must be absolute; write {quote('/' + path.removeprefix('./').lstrip('/'))}")
    normalized = path.rstrip("/")
    if not normalized:
        raise ValueError("must not be the root directory")
    slashes = normalized + "/"
    if "//" in slashes or "/./" in slashes or "/../" in slashes:
        raise ValueError('must not have "//", "/./" or "/../"; write the path without them')
    if "/.wh." in normalized:
        raise ValueError(
            'must not contain a name that begins with ".wh.": container engines would delete a file of the layers below'
        )
    return check_text(normalized)


def check_text(text: str) -> str:
    """Returns a text if a tar can hold it as a name.

    Raises:
      ValueError: a tar cannot hold it; the text of the error says why.
    """
    if "\0" in text:
        raise ValueError("must not have a NUL character")
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError:
            raise ValueError("is not UTF-8") from None
    return text


def is_utf8(path: str) -> bool:
    """Returns whether a path is UTF-8, so that JSON can hold it. os.fsdecode() turns other bytes into surrogates."""
    return path.isascii() or not any("\ud800" <= letter <= "\udfff" for letter in path)
