"""Makes certificates as administrators do, by openssl."""

from __future__ import annotations

import pathlib
import subprocess
from collections.abc import Sequence
from typing import NamedTuple

from support import require


class Certificate(NamedTuple):
    """A certificate and its private key, in PEM."""

    path: pathlib.Path
    key: pathlib.Path


def make_authority(directory: pathlib.Path, name: str) -> Certificate:
    """Makes a certificate authority, with nothing but what is needed.

    RFC 5280 demands further extensions, which many private authorities lack.
    """
    return _make(directory, name, "basicConstraints = CA:TRUE", [])


def make_certificate(directory: pathlib.Path, name: str, authority: Certificate, names: Sequence[str] = ()) -> Certificate:
    """Makes a certificate that an authority has signed.

    Args:
      directory: the directory that gets the files.
      name: the name of the files.
      authority: the authority.
      names: the names of a server, as openssl writes them: "DNS:registry.example", "IP:10.0.0.1".
    """
    extensions = f"subjectAltName = {','.join(names)}" if names else "extendedKeyUsage = clientAuth"
    return _make(directory, name, extensions, ["-CA", str(authority.path), "-CAkey", str(authority.key)])


def _make(directory: pathlib.Path, name: str, extensions: str, flags: Sequence[str]) -> Certificate:
    made = Certificate(directory / f"{name}.crt", directory / f"{name}.key")
    config = directory / f"{name}.cnf"
    config.write_text(f"[req]\nprompt = no\ndistinguished_name = name\n[name]\nCN = {name}\n[extensions]\n{extensions}\n")
    command = [require.tool("openssl"), "req", "-x509", "-newkey", "rsa:2048", "-noenc", "-days", "2", "-config", str(config)]
    command += ["-extensions", "extensions", "-out", str(made.path), "-keyout", str(made.key), *flags]
    subprocess.run(command, check=True, capture_output=True)
    return made
