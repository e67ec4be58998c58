"""The certificates that connections to registries trust: those that the user's client trusts, which is a program in Go.

Go, crypto/x509: root_linux.go, root_unix.go; containers/image, docker/docker_client.go and pkg/tlsclientconfig.
"""

from __future__ import annotations

import contextlib
import os
import ssl

_FILES = (
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/pki/tls/cacert.pem",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/ssl/cert.pem",
)
_DIRECTORIES = ("/etc/ssl/certs", "/etc/pki/tls/certs")
_CONTAINERS = ("~/.config/containers/certs.d", "/etc/containers/certs.d", "/etc/docker/certs.d")
"""Directories in which skopeo, podman and Docker look for a directory with the name of a registry. crane does not."""


def make_context(host: str, client: str) -> ssl.SSLContext:
    """Returns the context of connections whose certificates are verified.

    Args:
      host: the registry, with its port.
      client: the name of the client.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    # Go takes certificates of which RFC 5280 demands more, and a certificate that is trusted itself.
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    chosen = os.environ.get("SSL_CERT_FILE", "")
    for path in [chosen] if chosen else _FILES:
        if _load_certificates(context, path):
            break
    chosen = os.environ.get("SSL_CERT_DIR", "")
    for directory in chosen.split(":") if chosen else _DIRECTORIES:
        for name in _list_names(directory):
            # OpenSSL's names of certificates by their hash are links to files that have other names.
            if not name.endswith((".0", "ca-certificates.crt", "ca-bundle.crt")):
                _load_certificates(context, os.path.join(directory, name))
    if client == "skopeo":
        _load_registry_certificates(context, host)
    return context


def make_unverified_context() -> ssl.SSLContext:
    """Returns the context of connections whose certificates are not verified."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


def _load_registry_certificates(context: ssl.SSLContext, host: str) -> None:
    """Loads the certificates of the first directory for a registry: *.crt are trusted, *.cert with *.key are the user's own."""
    for top in _CONTAINERS:
        directory = os.path.join(os.path.expanduser(top), host)
        names = _list_names(directory)
        for name in names:
            path = os.path.join(directory, name)
            if name.endswith(".crt"):
                _load_certificates(context, path)
            if name.endswith(".cert"):
                with contextlib.suppress(OSError):  # ssl.SSLError is one.
                    context.load_cert_chain(path, path.removesuffix("cert") + "key")
        if names:
            return


def _load_certificates(context: ssl.SSLContext, path: str) -> bool:
    """Loads the certificates of a file; returns whether there are any."""
    try:
        context.load_verify_locations(path)
    except (OSError, ValueError):
        return False
    return True


def _list_names(directory: str) -> list[str]:
    try:
        return sorted(os.listdir(directory))
    except OSError:
        return []
