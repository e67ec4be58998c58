"""Names of images, as a manifest's `image` has them."""

from __future__ import annotations

import re
from dataclasses import dataclass

from rules_setcap.diagnostics.errors import quote

# The grammar of github.com/distribution/reference, which every runtime uses.
_COMPONENT = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_HOST = r"(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9])"
_DOMAIN = re.compile(rf"(?:{_HOST}(?:\.{_HOST})*|\[[a-fA-F0-9:]+\])(?::[0-9]+)?", re.ASCII)
_PATH = re.compile(rf"{_COMPONENT}(?:/{_COMPONENT})*", re.ASCII)
_TAG = re.compile(r"[a-zA-Z0-9_][a-zA-Z0-9_.-]{0,127}", re.ASCII)
_DIGEST = re.compile("sha256:[0-9a-f]{64}|sha384:[0-9a-f]{96}|sha512:[0-9a-f]{128}")
_MAX_NAME = 255
_DEFAULT_DOMAIN = "docker.io"


@dataclass(frozen=True)
class Reference:
    """An image's name in full.

    Attributes:
      repository: with its domain.
      tag: may be empty.
      digest: may be empty.
    """

    repository: str
    tag: str = ""
    digest: str = ""


def reference(text: str) -> Reference:
    """What `text` names: [domain/]path[:tag][@digest].

    A name without a domain is Docker Hub's, and one without a slash of its "library"
    (distribution/reference normalize.go, splitDockerDomain).

    Raises:
      ValueError: with what is wrong.
    """
    name, at, digest = text.partition("@")
    tag = ""
    if ":" in name.rpartition("/")[2]:
        name, _, tag = name.rpartition(":")
        if not _TAG.fullmatch(tag):
            raise ValueError(f"invalid image name: {quote(tag[:40])} is not a tag")
    if at and not _DIGEST.fullmatch(digest):
        raise ValueError(f"invalid image name: {quote(digest[:80])} is not a digest")
    domain, slash, path = name.partition("/")
    if not slash or not (re.search("[.:]", domain) or domain == "localhost" or domain != domain.lower()):
        domain, path = _DEFAULT_DOMAIN, name
    domain = _DEFAULT_DOMAIN if domain == "index." + _DEFAULT_DOMAIN else domain
    if domain == _DEFAULT_DOMAIN and "/" not in path:
        path = "library/" + path
    right = _PATH.fullmatch(path) and (_DOMAIN.fullmatch(domain) or _PATH.fullmatch(domain))
    if not right or len(path) > _MAX_NAME:
        raise ValueError("invalid image name; write it as registry.example/path:tag, in lower case")
    return Reference(f"{domain}/{path}", tag, digest)


def names(image: str, wanted: str) -> bool:
    """Whether a container's `image` is the `wanted` one: a repository, with a tag or a digest where those matter.

    An image without tag and digest is its tag "latest".

    Raises:
      ValueError: one of the two is an invalid image name.
    """
    have, want = reference(image), reference(wanted)
    if have.repository != want.repository or want.digest not in ("", have.digest):
        return False
    return want.tag in ("", have.tag or ("" if have.digest else "latest"))
