"""Opens connections to registries, directly or by a proxy, as the user's client does."""

from __future__ import annotations

import http.client
import re
from collections.abc import Callable
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from rules_setcap.delivery.release import certificates, proxies
from rules_setcap.oci.reference import is_loopback

if TYPE_CHECKING:
    from rules_setcap.delivery.release.proxies import Proxy

Opener = Callable[[], http.client.HTTPConnection]
"""Returns a connection, which connects when it sends the first request."""


def list_openers(host: str, client: str, timeout: float, *, insecure: bool) -> list[Opener]:
    """Returns functions that return a connection, one for each protocol that is allowed, the preferred one first.

    Args:
      host: the registry, with its port.
      client: the name of the user's client, whose certificates are trusted.
      timeout: the longest wait for bytes, in seconds.
      insecure: whether to allow plain HTTP, and certificates that cannot be verified.

    Raises:
      UnreadableRegistryError: the proxy is not one that we can use.
    """
    context = certificates.make_unverified_context() if insecure else certificates.make_context(host, client)

    def open_plain() -> http.client.HTTPConnection:
        proxy = proxies.find_proxy("http", host)
        if not proxy:
            return http.client.HTTPConnection(host, timeout=timeout)
        return _ForwardedConnection(proxy, host, timeout)

    def open_tls() -> http.client.HTTPConnection:
        proxy = proxies.find_proxy("https", host)
        if not proxy:
            return http.client.HTTPSConnection(host, timeout=timeout, context=context)
        connection = http.client.HTTPSConnection(proxy.host, proxy.port, timeout=timeout, context=context)
        connection.set_tunnel(host if re.search(r":\d+$", host) else f"{host}:443", headers=proxy.headers)
        return connection

    if is_loopback(host):
        return [open_plain, open_tls]
    return [open_tls, open_plain] if insecure else [open_tls]


class _ForwardedConnection(http.client.HTTPConnection):
    """A connection to a proxy that forwards requests to a registry, without encryption."""

    def __init__(self, proxy: Proxy, host: str, timeout: float) -> None:
        super().__init__(proxy.host, proxy.port, timeout=timeout)
        self._registry, self._proxy_headers = host, proxy.headers

    def request(self, method: str, url: str, body: Any = None, headers: Any = MappingProxyType({}), **options: Any) -> None:
        """Sends a request; its target is the whole URL (RFC 9112, 3.2.2)."""
        super().request(method, f"http://{self._registry}{url}", body, {**headers, **self._proxy_headers}, **options)
