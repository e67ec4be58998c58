"""Finds the HTTP proxy of a registry as the clients do, which are programs in Go.

golang.org/x/net/http/httpproxy: HTTPS_PROXY, HTTP_PROXY and NO_PROXY, or the same in lower case.
"""

from __future__ import annotations

import base64
import ipaddress
import os
import urllib.parse
from typing import NamedTuple

from rules_setcap.delivery.errors import UnreadableRegistryError

_PORTS = {"http": 80, "https": 443}


class Proxy(NamedTuple):
    """An HTTP proxy.

    Attributes:
      host: its host.
      port: its port.
      headers: the headers of requests to it.
    """

    host: str
    port: int
    headers: dict[str, str]


def find_proxy(scheme: str, host: str) -> Proxy | None:
    """Returns the proxy for a registry; None if it is reached without one.

    Args:
      scheme: "http" or "https".
      host: the registry, with its port if that is not the default.

    Raises:
      UnreadableRegistryError: the proxy is not one that we can use.
    """
    address = urllib.parse.urlsplit(f"{scheme}://{host}")
    text = _get_variable(f"{scheme}_proxy")
    if not text or not address.hostname or _is_direct(address.hostname, address.port or _PORTS[scheme]):
        return None
    try:
        proxy = urllib.parse.urlsplit(text if "://" in text else f"http://{text}")
        port = proxy.port or 80
    except ValueError:
        proxy, port = urllib.parse.urlsplit(""), 0
    if proxy.scheme != "http" or not proxy.hostname:
        raise UnreadableRegistryError(f"{scheme.upper()}_PROXY is not the address of an HTTP proxy")
    headers = {}
    if proxy.username is not None:
        user = ":".join(urllib.parse.unquote(part or "") for part in (proxy.username, proxy.password))
        headers["Proxy-Authorization"] = f"Basic {base64.b64encode(user.encode()).decode()}"
    return Proxy(proxy.hostname, port, headers)


def _get_variable(name: str) -> str:
    return os.environ.get(name.upper()) or os.environ.get(name, "")


def _is_direct(host: str, port: int) -> bool:
    """Returns whether no proxy is used for a host: it is this machine, or NO_PROXY names it."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        address = None
    if host == "localhost" or (address and address.is_loopback):
        return True
    return any(_matches(entry.strip().lower(), host.lower(), address, port) for entry in _get_variable("no_proxy").split(","))


def _matches(entry: str, host: str, address: ipaddress.IPv4Address | ipaddress.IPv6Address | None, port: int) -> bool:
    """Returns whether an entry of NO_PROXY names a host."""
    if entry == "*":
        return True
    if "/" in entry:
        try:
            return address is not None and address in ipaddress.ip_network(entry, strict=False)
        except ValueError:
            return False
    name, entry_port = _split_port(entry)
    if not name or (entry_port and entry_port != str(port)):
        return False
    if address:
        try:
            return ipaddress.ip_address(name) == address
        except ValueError:
            return False
    suffix = name.removeprefix("*")
    return host.endswith(suffix if suffix.startswith(".") else f".{suffix}") or host == name


def _split_port(entry: str) -> tuple[str, str]:
    """Splits an entry of NO_PROXY into the host and the port, which is "" if there is none."""
    if entry.startswith("["):
        name, _, rest = entry[1:].partition("]")
        return name, rest.removeprefix(":")
    name, colon, port = entry.rpartition(":")
    return (name, port) if colon and ":" not in name else (entry, "")
