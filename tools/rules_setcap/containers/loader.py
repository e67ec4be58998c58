"""Finds programs that do not start, and variables that are ignored, because of the dynamic loader (ld.so(8)).

A program that gets capabilities runs in secure-execution mode, in which the loader and some libraries ignore variables and
library paths that a user could have set.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterator

from rules_setcap.containers.chain import Hop
from rules_setcap.containers.settings import Settings
from rules_setcap.diagnostics.errors import escape
from rules_setcap.oci.image_reader import Image

_IGNORED_BY = {
    "GCONV_PATH": "glibc",
    "GETCONF_DIR": "glibc",
    "GLIBC_TUNABLES": "glibc",
    "HOSTALIASES": "glibc",
    "LD_AUDIT": "the dynamic loader",
    "LD_DEBUG": "the dynamic loader",
    "LD_DEBUG_OUTPUT": "the dynamic loader",
    "LD_DYNAMIC_WEAK": "the dynamic loader",
    "LD_HWCAP_MASK": "the dynamic loader",
    "LD_LIBRARY_PATH": "the dynamic loader",
    "LD_ORIGIN_PATH": "the dynamic loader",
    "LD_PRELOAD": "the dynamic loader",
    "LD_PROFILE": "the dynamic loader",
    "LD_SHOW_AUXV": "the dynamic loader",
    "LOCALDOMAIN": "glibc",
    "LOCPATH": "glibc",
    "MALLOC_TRACE": "glibc",
    "NIS_PATH": "glibc",
    "NLSPATH": "glibc",
    "NODE_EXTRA_CA_CERTS": "Node.js",
    "NODE_OPTIONS": "Node.js",
    "NODE_PENDING_DEPRECATION": "Node.js",
    "OPENSSL_CONF": "OpenSSL",
    "OPENSSL_MODULES": "OpenSSL",
    "RESOLV_HOST_CONF": "glibc",
    "RES_OPTIONS": "glibc",
    "SSL_CERT_DIR": "OpenSSL",
    "SSL_CERT_FILE": "OpenSSL",
    "TMPDIR": "glibc",
    "TZDIR": "glibc",
}
"""Variables that are ignored in secure-execution mode, each with what ignores it: ld.so(8), "Secure-execution mode"; glibc's
sysdeps/generic/unsecvars.h; Node.js' src/node_credentials.cc (SafeGetenv); OpenSSL's ossl_safe_getenv (CHANGES, 1.1.0)."""

_TRUSTED_DIRECTORIES = ("/lib/", "/lib64/", "/usr/lib/", "/usr/lib64/")
_DEFAULT_DIRECTORIES = ("/lib", "/usr/lib", "/lib64", "/usr/lib64", "/usr/local/lib", "/usr/local/lib64")
_TRIPLETS = (
    "x86_64-linux-gnu",
    "aarch64-linux-gnu",
    "arm-linux-gnueabihf",
    "i386-linux-gnu",
    "powerpc64le-linux-gnu",
    "s390x-linux-gnu",
)


def find_start_failure(image: Image, hop: Hop) -> str:
    """Returns why a program does not start although the kernel may execute it; "" if no reason is found.

    Args:
      image: the container's image.
      hop: the execve(2) of the program.
    """
    loader = hop.file.loader
    if not loader or hop.mount:
        return ""
    if not image.exists(loader):
        return f"{escape(hop.path)} does not start: its dynamic loader {escape(loader)} is not in the image (execve fails with ENOENT)"
    if hop.outcome.process is None or not hop.outcome.secure:
        return ""
    ignored_parts = [part for part in hop.file.runpath.split(":") if _is_ignored(part, hop.path)]
    absolute_parts = [part for part in hop.file.runpath.split(":") if part.startswith("/")]
    folders = [
        *absolute_parts,
        *_DEFAULT_DIRECTORIES,
        *(f"{folder}/{triplet}" for folder in ("/lib", "/usr/lib") for triplet in _TRIPLETS),
    ]
    origin = posixpath.dirname(hop.path)
    for library in hop.file.needed:
        if any(image.exists(f"{folder}/{library}") for folder in folders):
            continue
        for part in ignored_parts:
            folder = part.replace("${ORIGIN}", "$ORIGIN").replace("$ORIGIN", origin)
            if "$" not in folder and image.exists(posixpath.normpath(f"{folder}/{library}")):
                return (
                    f"{escape(hop.path)} does not start: it finds {escape(library)} by {escape(part)}, which the dynamic loader ignores for a program with "
                    "capabilities (secure-execution mode, ld.so(8))"
                )
    return ""


def list_ignored_variables(image: Image, hop: Hop, settings: Settings) -> Iterator[str]:
    """Yields a sentence for each variable of the container that the program's loader and libraries ignore."""
    if not hop.outcome.secure:
        return
    config = image.config.get("config") or {}
    sources = {text.partition("=")[0]: "the image" for text in config.get("Env") or [] if isinstance(text, str)}
    sources |= {variable.value[0]: variable.where for variable in settings.environment}
    for name in sorted(sources):
        if name in _IGNORED_BY:
            yield f"{escape(name)} ({sources[name]}) is ignored by {_IGNORED_BY[name]}: the program runs in secure-execution mode (ld.so(8))"


def _is_ignored(part: str, path: str) -> bool:
    """Returns whether the loader ignores a part of a RUNPATH: it has $ORIGIN, and is outside of the trusted directories.

    elf/dl-load.c of glibc.

    Args:
      part: a directory of the RUNPATH.
      path: the path of the program, whose directory is $ORIGIN.
    """
    folder = part.replace("${ORIGIN}", "$ORIGIN")
    if "$ORIGIN" not in folder:
        return False
    suffix = folder.removeprefix("$ORIGIN")
    if folder == suffix or suffix[:1] not in ("", "/"):
        return True
    return not (posixpath.normpath(posixpath.dirname(path) + suffix) + "/").startswith(_TRUSTED_DIRECTORIES)
