"""Checks paths in an image, and the text that a tar holds."""

from __future__ import annotations

from rules_setcap.diagnostics.errors import quote


def clean(path: str) -> str:
    """Returns `path` as entries have it: absolute, without a trailing slash.

    Raises:
      ValueError: the path is not valid; the text says why.
    """
    if not path.startswith("/"):
        raise ValueError(f"must be absolute; write {quote('/' + path)}")
    plain = path.rstrip("/")
    if not plain:
        raise ValueError("must not be the root directory")
    slashes = plain + "/"
    if "//" in slashes or "/./" in slashes or "/../" in slashes:
        raise ValueError('must not have "//", "/./" or "/../"; write the path without them')
    if "/.wh." in plain:
        raise ValueError('must not contain a name that begins with ".wh.": container engines would delete a file of the layers below')
    return check_text(plain)


def check_text(text: str) -> str:
    """Returns `text` if a tar can hold it as a name.

    Raises:
      ValueError: it cannot; the text says why.
    """
    if "\0" in text:
        raise ValueError("must not have a NUL character")
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError:
            raise ValueError("is not UTF-8") from None
    return text


def is_text(path: str) -> bool:
    """Returns whether a path is UTF-8, as JSON is; bytes that are not are surrogates in it (os.fsdecode)."""
    return path.isascii() or not any("\ud800" <= letter <= "\udfff" for letter in path)
