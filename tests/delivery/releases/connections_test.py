"""A release asks registries whatever way the user's client asks them: with private certificates, by proxies, with tokens and passwords."""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from typing import NamedTuple

import pytest
from releases import NAMES, Shell, list_statuses

from rules_setcap.delivery.release import proxies
from support import certificates, forward_proxy, network, require, token_server
from support import registry as registries
from support.certificates import Certificate

ADDRESS, PROXY_ADDRESS, NAME = "10.77.0.1", "10.77.0.2", "registry.example"
CLIENTS = ("crane", "skopeo")


class World(NamedTuple):
    """What the tests share.

    Attributes:
      authority: the private certificate authority.
      server: the certificate of servers.
      user: the certificate of a user.
      registry: a registry with HTTPS.
      name: its host name, with the port. The certificate has it, and its address.
    """

    authority: Certificate
    server: Certificate
    user: Certificate
    registry: registries.Registry
    name: str


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    directory = tmp_path_factory.mktemp("world")
    network.isolate([ADDRESS, PROXY_ADDRESS], {NAME: ADDRESS}, directory)
    authority = certificates.make_authority(directory, "authority")
    server = certificates.make_certificate(directory, "server", authority, [f"IP:{ADDRESS}", f"DNS:{NAME}"])
    user = certificates.make_certificate(directory, "user", authority)
    tls = {"certificate": str(server.path), "key": str(server.key)}
    with registries.serve(directory, address=ADDRESS, tls=tls) as registry:
        yield World(authority, server, user, registry, f"{NAME}:{registry.host.rpartition(':')[2]}")


@pytest.fixture(params=CLIENTS)
def shell(request, tmp_path) -> Shell:
    return Shell(tmp_path, request.param)


def _make_flags(host: str, path: str) -> tuple[str, ...]:
    return "--repository-prefix", f"{host}/{path}", "--tag", "v1", "--retries", "0"


def _check_release(shell: Shell, flags: tuple[str, ...], *, remark: str = "", **environment: str) -> None:
    """Checks that a release pushes everything, and that the next finds everything.

    Args:
      shell: the user.
      flags: the flags.
      remark: why the client asks the registry; "" if our own requests do.
      **environment: further variables.
    """
    for status in ("pushed", "unchanged"):
        done = shell.run(*flags, **environment)
        assert (done.returncode, list_statuses(done.stdout)) == (0, dict.fromkeys(NAMES, status)), done.stderr
        assert (" asks instead, and all blobs" in done.stderr) == bool(remark), done.stderr
        assert remark in done.stderr


def test_a_private_authority_is_trusted(world, shell, path):
    _check_release(shell, _make_flags(world.registry.host, path), SSL_CERT_FILE=str(world.authority.path))
    assert world.registry.tags(f"{path}/team/web") == ["v1"]


def test_a_host_name_is_verified(world, shell, path):
    _check_release(shell, _make_flags(world.name, path), SSL_CERT_FILE=str(world.authority.path))


def test_a_certificate_that_is_trusted_itself(world, shell, path):
    """The certificate of the registry is no authority's."""
    _check_release(shell, _make_flags(world.registry.host, path), SSL_CERT_FILE=str(world.server.path))


def test_a_directory_of_authorities(world, shell, path):
    """Go reads all files of the directory, whatever their names are; OpenSSL only those that are named by a hash."""
    directory = shell.directory / "authorities"
    directory.mkdir()
    shutil.copy(world.authority.path, directory / "ours.pem")
    (directory / "notes").write_text("no certificate")
    _check_release(shell, _make_flags(world.registry.host, path), SSL_CERT_DIR=f"/absent:{directory}")


def test_a_certificate_of_nobody_is_an_error(world, shell, path):
    flags = _make_flags(world.registry.host, path)
    done = shell.run(*flags)
    assert (done.returncode, list_statuses(done.stdout)) == (1, dict.fromkeys(NAMES, "failed"))
    assert f"{world.registry.host}: " in done.stderr and "certificate verify failed" in done.stderr
    assert "x509: certificate signed by unknown authority" in done.stderr
    assert "; set SSL_CERT_FILE to its certificate authority" in done.stderr
    assert "no tag has moved" in done.stderr
    assert world.registry.tags(f"{path}/team/web") == []
    _check_release(shell, (*flags, "--insecure"))


def test_certificates_of_one_registry(world, tmp_path, path):
    """skopeo, podman and Docker have a directory for each registry. crane does not read it, and says so."""
    for client in CLIENTS:
        shell = Shell(tmp_path / client, client)
        directory = shell.directory / ".config/containers/certs.d" / world.registry.host
        directory.mkdir(parents=True)
        shutil.copy(world.authority.path, directory / "authority.crt")
        flags = _make_flags(world.registry.host, f"{path}/{client}")
        if client == "skopeo":
            _check_release(shell, flags)
        else:
            done = shell.run(*flags)
            assert done.returncode == 1 and "set SSL_CERT_FILE to its certificate authority" in done.stderr


def test_a_registry_that_demands_a_certificate_of_the_user(world, tmp_path, path):
    shell = Shell(tmp_path / "skopeo", "skopeo")
    (tmp_path / "registry").mkdir()
    tls = {"certificate": str(world.server.path), "key": str(world.server.key), "clientcas": [str(world.authority.path)]}
    with registries.serve(tmp_path / "registry", address=ADDRESS, tls=tls) as registry:
        directory = shell.directory / ".config/containers/certs.d" / registry.host
        directory.mkdir(parents=True)
        shutil.copy(world.authority.path, directory / "authority.crt")
        done = shell.run(*_make_flags(registry.host, path))
        assert done.returncode == 1 and "no tag has moved" in done.stderr
        shutil.copy(world.user.path, directory / "user.cert")
        shutil.copy(world.user.key, directory / "user.key")
        _check_release(shell, _make_flags(registry.host, path))


@pytest.mark.parametrize("password", ["", "user:secret"])
def test_a_proxy_gets_all_requests(world, shell, path, password):
    with forward_proxy.serve(shell.directory, PROXY_ADDRESS, password=password) as proxy:
        seen = len(world.registry.list_clients())
        credentials = f"{password}@" if password else ""
        variables = {"SSL_CERT_FILE": str(world.authority.path), "HTTPS_PROXY": f"http://{credentials}{proxy}"}
        _check_release(shell, _make_flags(world.name, path), **variables)
    assert set(world.registry.list_clients()[seen:]) == {PROXY_ADDRESS}


def test_a_proxy_for_plain_http(world, tmp_path, path):
    """tinyproxy closes connections that clients go on to use, so some requests are repeated."""
    shell = Shell(tmp_path, "crane")
    (shell.directory / "registry").mkdir()
    with (
        registries.serve(shell.directory / "registry", address=ADDRESS) as registry,
        forward_proxy.serve(shell.directory, PROXY_ADDRESS) as proxy,
    ):
        variables = {"HTTPS_PROXY": f"http://{proxy}", "HTTP_PROXY": proxy}
        _check_release(shell, (*_make_flags(registry.host, path), "--retries", "9", "--insecure"), **variables)
        assert set(registry.list_clients()) == {PROXY_ADDRESS}


def test_a_proxy_that_refuses_is_an_error(world, shell, path):
    with forward_proxy.serve(shell.directory, PROXY_ADDRESS, password="user:secret") as proxy:
        variables = {"SSL_CERT_FILE": str(world.authority.path), "HTTPS_PROXY": f"http://user:wrong@{proxy}"}
        done = shell.run(*_make_flags(world.name, path), **variables)
    assert done.returncode == 1
    assert f"{world.name}: the proxy refuses: Tunnel connection failed: 401" in done.stderr or "failed: 407" in done.stderr
    assert "no tag has moved" in done.stderr and "wrong" not in done.stderr


def test_a_proxy_that_only_the_client_can_use(world, shell, path):
    """The client asks, and its message is that of the release."""
    variables = {"SSL_CERT_FILE": str(world.authority.path), "HTTPS_PROXY": "socks5://127.0.0.1:1"}
    done = shell.run(*_make_flags(world.name, path), **variables)
    assert done.returncode == 1
    what = f"HTTPS_PROXY is not the address of an HTTP proxy; {next(shell.path.iterdir()).name} asks instead"
    assert what in done.stderr and "connection refused" in done.stderr


NO_PROXY = [
    ("", False),
    ("*", True),
    ("other.example, *", True),
    ("ADDRESS", True),
    ("ADDRESS:PORT", True),
    ("ADDRESS:1", False),
    ("10.77.0.0/16", True),
    ("10.78.0.0/16", False),
    ("10.77.0.0/99", False),
    ("NAME", True),
    ("REGISTRY.Example", True),
    (" other.example ,NAME ", True),
    ("NAME:PORT", True),
    ("NAME:1", False),
    ("example", True),
    (".example", True),
    ("*.example", True),
    (".NAME", False),
    ("gistry.example", False),
    (":1", False),
    ("[::1]:1", False),
]


@pytest.mark.parametrize("host", ["address", "name"])
@pytest.mark.parametrize("text", [text for text, _ in NO_PROXY])
def test_no_proxy_means_what_it_means_to_the_client(world, tmp_path, monkeypatch, host, text):
    """crane is asked. It finds no proxy where there is one in its environment."""
    port = world.registry.host.rpartition(":")[2]
    registry = world.registry.host if host == "address" else world.name
    text = text.replace("ADDRESS", ADDRESS).replace("NAME", NAME).replace("PORT", port)
    variables = {"SSL_CERT_FILE": str(world.authority.path), "HTTPS_PROXY": "http://127.0.0.1:1", "NO_PROXY": text}
    environment = {"HOME": str(tmp_path), **variables}
    done = subprocess.run([require.tool("crane"), "catalog", registry], env=environment, capture_output=True, text=True)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert (proxies.find_proxy("https", registry) is None) == (done.returncode == 0), done.stderr


def test_the_expected_hosts_need_no_proxy(world, monkeypatch):
    """The test above would pass if crane found no registry at all."""
    monkeypatch.setenv("https_proxy", "proxy.example:3128")
    port = world.registry.host.rpartition(":")[2]
    for text, is_direct in NO_PROXY:
        hosts = [world.registry.host, world.name]
        monkeypatch.setenv("no_proxy", text.replace("ADDRESS", ADDRESS).replace("NAME", NAME).replace("PORT", port))
        assert any(proxies.find_proxy("https", host) is None for host in hosts) == is_direct, text
    assert proxies.find_proxy("https", "127.0.0.1:5000") is None and proxies.find_proxy("https", "localhost") is None
    monkeypatch.setenv("no_proxy", "")
    assert proxies.find_proxy("https", world.name) == proxies.Proxy("proxy.example", 3128, {})
    monkeypatch.setenv("HTTPS_PROXY", "http://us%40er:p%3Aw@other.example")
    proxy = proxies.find_proxy("https", world.name)
    assert proxy and (proxy.host, proxy.port) == ("other.example", 80)
    assert base64.b64decode(proxy.headers["Proxy-Authorization"].removeprefix("Basic ")) == b"us@er:p:w"


def _write_password(shell: Shell, host: str, password: str) -> None:
    """Writes the credentials that `docker login` writes."""
    (shell.directory / ".docker").mkdir(exist_ok=True)
    config = {"auths": {host: {"auth": base64.b64encode(password.encode()).decode()}}}
    (shell.directory / ".docker/config.json").write_text(json.dumps(config))


@pytest.fixture(params=["basic", "bearer"])
def locked(request, world, tmp_path) -> Iterator[tuple[registries.Registry, token_server.TokenServer | None]]:
    """Yields a registry that demands the password user:secret, and the server that gives its tokens, if it is one that has tokens."""
    directory = tmp_path / "locked"
    directory.mkdir()
    tls = {"certificate": str(world.server.path), "key": str(world.server.key)}
    if request.param == "basic":
        with registries.serve(directory, address=ADDRESS, tls=tls, has_password=True) as registry:
            yield registry, None
        return
    with token_server.serve(ADDRESS, world.server, world.authority, "user:secret") as tokens:
        settings = {"realm": tokens.url, "service": token_server.SERVICE, "issuer": token_server.ISSUER}
        settings["rootcertbundle"] = str(world.authority.path)
        with registries.serve(directory, address=ADDRESS, tls=tls, token=settings) as registry:
            yield registry, tokens


def test_a_registry_that_demands_credentials(world, locked, shell, path):
    registry, tokens = locked
    client = next(shell.path.iterdir()).name
    flags, trust = _make_flags(registry.host, path), {"SSL_CERT_FILE": str(world.authority.path)}
    for password in ("", "user:wrong"):
        if password:
            _write_password(shell, registry.host, password)
        done = shell.run(*flags, **trust)
        assert (done.returncode, list_statuses(done.stdout)) == (1, dict.fromkeys(NAMES, "failed"))
        assert any(
            text in done.stderr for text in ("UNAUTHORIZED", "authentication required", "invalid username/password", "401")
        )
        assert "no tag has moved" in done.stderr and "wrong" not in done.stderr.replace("wrong password", "")
    _write_password(shell, registry.host, "user:secret")
    _check_release(shell, flags, remark="" if client == "crane" else "skopeo gives no credentials", **trust)
    if tokens and client == "crane":
        team = f"repository:{path}/team"
        assert {f"{team}/web:pull", f"{team}/api:pull"} <= {scope.replace(",push", "") for scope in tokens.scopes}


def test_tokens_that_expire_are_renewed(world, tmp_path, path):
    """Each token is valid for a shorter time than the release takes."""
    shell = Shell(tmp_path / "shell", "crane")
    (tmp_path / "registry").mkdir()
    tls = {"certificate": str(world.server.path), "key": str(world.server.key)}
    with token_server.serve(ADDRESS, world.server, world.authority, "user:secret") as tokens:
        settings = {"realm": tokens.url, "service": token_server.SERVICE, "issuer": token_server.ISSUER}
        settings["rootcertbundle"] = str(world.authority.path)
        with registries.serve(tmp_path / "registry", address=ADDRESS, tls=tls, token=settings) as registry:
            _write_password(shell, registry.host, "user:secret")
            hook = shell.directory / "hook"
            hook.write_text("#!/bin/sh\nexec sleep 65\n")  # The registry takes tokens for a minute after their end.
            hook.chmod(0o755)
            tokens.lifetime = 1
            flags = (*_make_flags(registry.host, path), "--hook", str(hook))
            done = shell.run(*flags, SSL_CERT_FILE=str(world.authority.path), PATH=f"{shell.path}:{os.environ['PATH']}")
            assert (done.returncode, list_statuses(done.stdout)) == (0, dict.fromkeys(NAMES, "pushed")), done.stderr


def test_a_repository_deep_below_a_path(world, shell, path):
    _check_release(shell, _make_flags(f"{world.name}/a/b-c/d_e", path), SSL_CERT_FILE=str(world.authority.path))
    assert world.registry.tags(f"a/b-c/d_e/{path}/team/web") == ["v1"]


def test_a_host_that_nobody_knows_is_an_error(world, shell, path):
    done = shell.run(*_make_flags("absent.example:5000", path))
    assert done.returncode == 1
    assert "absent.example" in done.stderr and "no tag has moved" in done.stderr
    assert "no address of absent.example is known" in done.stderr or "Temporary failure in name resolution" in done.stderr
