"""Compares the models of programs with the programs of Debian's packages, which runc runs in a container."""

from __future__ import annotations

import io
import os
import pathlib
import re
import subprocess
import tarfile
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from rules_setcap import capabilities
from rules_setcap.capabilities import execve
from rules_setcap.capabilities.names import NAMES
from rules_setcap.containers.chain import Chain
from rules_setcap.containers.follow import follow_chain
from rules_setcap.containers.process import InitialProcess
from rules_setcap.containers.settings import Setting, Settings
from rules_setcap.oci import image_reader
from support import require
from support.container import Bundle, Outcome
from support.image import layout

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
PROBE = "/probe"
"""The program at the end of each chain, which prints its credentials (credentials.c)."""

PROGRAMS = (
    "bash busybox capsh catatonit chpst chroot chrt dash dumb-init env flock gosu ionice nice nohup runuser s6-applyuidgid "
    "s6-envuidgid s6-setuidgid setpriv setsid start-stop-daemon stdbuf su taskset timeout tini tini-static unshare"
).split()

_TEXTS = {
    "/etc/passwd": "root:x:0:0::/root:/bin/sh\napp:x:1000:1000::/home/app:/bin/sh\nweb:x:1001:1002::/home/web:/bin/bash\n",
    "/etc/group": "root:x:0:\napp:x:1000:\nextra:x:2000:app\nmore:x:2001:web,app\nweb:x:1002:\n",
    "/etc/nsswitch.conf": "passwd: files\ngroup: files\n",
    "/etc/pam.d/other": "auth sufficient pam_rootok.so\nauth required pam_deny.so\naccount required pam_permit.so\nsession required pam_permit.so\n",
}
_SCRIPTS = {
    "/exec.sh": '#!/bin/sh\nset -e\nexec "$@"\n',
    "/env.sh": '#!/usr/bin/env bash\nexec "$@"\n',
    "/split.sh": '#!/usr/bin/env -S bash -eu\nexec "$@"\n',
    "/drop.sh": '#!/bin/sh\nset -e\nif [ "${1#-}" != "$1" ]; then\n  set -- /probe "$@"\nfi\nif [ "$(id -u)" = \'0\' ]; then\n  exec gosu app "$0" "$@"\nfi\nexec "$@"\n',
    "/last.sh": '#!/bin/bash\nset -euo pipefail\nmain() {\n  local first=$1\n  shift\n  "$first" "$@"\n}\nmain "$@"\n',
}


@dataclass(frozen=True)
class Case:
    """A container to compare.

    Attributes:
      argv: the command; its last argument is the probe.
      uid: the uid of the first process.
      gid: the gid of the first process.
      bounding: a set of the first process as a mask; likewise permitted, inheritable and ambient.
      no_new_privs: whether no_new_privs is set.
      files: the capabilities of files as texts, by path.
    """

    argv: tuple[str, ...]
    uid: int = 0
    gid: int = 0
    bounding: int = 0
    permitted: int = 0
    inheritable: int = 0
    ambient: int = 0
    no_new_privs: bool = False
    files: dict[str, str] = field(default_factory=dict)


class Oracle:
    """An image with the real programs: unpacked for a container, and read for the models."""

    def __init__(self, directory: pathlib.Path, probe: pathlib.Path) -> None:
        """
        Args:
          directory: an empty directory.
          probe: the program to put at the path PROBE.
        """
        path = layout(directory / "image", _make_layer(probe), User="0:0", Env=[f"PATH={PATH}"])
        self.bundle = Bundle(path, directory)
        (self.image,) = image_reader.read_images(str(path))
        self._assigned: dict[str, str] = {}

    def follow_models(self, case: Case) -> Chain:
        """Returns the chain of the models."""
        assigned = {path: capabilities.from_text(text) for path, text in case.files.items()}
        image = replace(self.image, capabilities={path: value for path, value in assigned.items() if value is not None})
        settings = Settings(
            where="docker run",
            engine_name="docker",
            user=Setting(f"{case.uid}:{case.gid}", ""),
            entrypoint=Setting(case.argv[:1], ""),
            command=Setting(case.argv[1:], ""),
        )
        before = InitialProcess(
            case.uid, case.bounding, case.permitted, case.permitted, case.inheritable, case.ambient, case.no_new_privs, None, {}
        )
        return follow_chain(image, settings, before)

    def run_container(self, case: Case) -> Outcome:
        """Runs the real programs."""
        for path in self._assigned.keys() | case.files.keys():
            real = self.bundle.rootfs / path.lstrip("/")
            text = case.files.get(path)
            if text is not None:
                value = capabilities.from_text(text)
                os.setxattr(real, "security.capability", value.to_xattr())
            elif path in self._assigned:
                os.removexattr(real, "security.capability")
        self._assigned = dict(case.files)
        return self.bundle.run(
            bounding=_list_names(case.bounding),
            permitted=_list_names(case.permitted),
            inheritable=_list_names(case.inheritable),
            ambient=_list_names(case.ambient),
            no_new_privs=case.no_new_privs,
            uid=case.uid,
            gid=case.gid,
            environment={"PATH": PATH},
            args=case.argv,
        )

    def find_differences(self, case: Case) -> list[str]:
        """Returns the differences of the models from the programs, none if a model does not know the next program."""
        chain = self.follow_models(case)
        outcome = self.run_container(case)
        ran = re.search(r"^Uid:", outcome.output, re.MULTILINE) is not None
        if chain.unknown_reason:
            return []
        after = chain.after
        reached = after is not None and chain.hops[-1].path == PROBE
        if reached != ran:
            why = chain.failure or ("execve: EPERM" if after is None else chain.hops[-1].path)
            return [f"model: {'reached' if reached else why}; program: {outcome}"]
        return [] if after is None or not ran else _compare_credentials(after, chain.hops[-1].outcome.secure, outcome.output)


def _compare_credentials(process: execve.Process, secure: bool, output: str) -> list[str]:
    """Returns the differences of credentials, and of AT_SECURE, from the output of the probe."""
    lines = dict(line.split(":\t", 1) for line in output.splitlines() if ":\t" in line)
    expected = {
        "Uid": [process.ruid, process.euid, process.suid],
        "Gid": [process.rgid, process.egid, process.sgid],
        "Groups": sorted(set(process.groups)),
        "CapInh": process.inheritable,
        "CapPrm": process.permitted,
        "CapEff": process.effective,
        "CapBnd": process.bounding,
        "CapAmb": process.ambient,
        "NoNewPrivs": int(process.no_new_privs),
        "Securebits": process.securebits,
        "Secure": int(secure),
    }
    real: dict[str, object] = {name: int(lines[name], 16) for name in expected if name.startswith("Cap")}
    real |= {name: int(lines[name]) for name in ("NoNewPrivs", "Securebits", "Secure")}
    real |= {name: [int(number) for number in lines[name].split()[:3]] for name in ("Uid", "Gid")}
    real["Groups"] = sorted(set(map(int, lines["Groups"].split())))
    return [
        f"{name}: model {_format_value(expected[name])}, program {_format_value(real[name])}"
        for name in expected
        if expected[name] != real[name]
    ]


def _format_value(value: object) -> str:
    """Returns a value of the probe for a message: a number in hexadecimal."""
    return f"{value:#x}" if isinstance(value, int) else str(value)


def _list_names(mask: int) -> list[str]:
    """Returns the names of the capabilities in a mask, as the OCI runtime specification has them."""
    return [name.upper() for bit, name in enumerate(NAMES) if mask >> bit & 1]


def read_bounding_set() -> int:
    """Returns the bounding set of this process, as a mask; a container on this machine cannot have more."""
    text = pathlib.Path("/proc/self/status").read_text()
    return int(re.search(r"^CapBnd:\s*([0-9a-f]+)$", text, re.MULTILINE)[1], 16)


def _make_layer(probe: pathlib.Path) -> bytes:
    """Returns a layer with the probe, the real programs and the libraries that they need, as a tar."""
    files: dict[str, pathlib.Path] = {PROBE: probe}
    for name in PROGRAMS:
        program = pathlib.Path(require.tool(name))
        files[
            f"/usr/bin/{name}" if name not in ("gosu", "chroot", "capsh", "runuser", "start-stop-daemon") else f"/usr/sbin/{name}"
        ] = program
    pam_modules = pathlib.Path("/usr/lib").glob("*/security/pam_*.so")
    for module in pam_modules:
        if module.name in ("pam_rootok.so", "pam_deny.so", "pam_permit.so"):
            files[str(module)] = module
    stdbuf = next(iter(pathlib.Path("/usr/libexec/coreutils").glob("libstdbuf.so")), None)
    if stdbuf:
        files[str(stdbuf)] = stdbuf
    for path in list(files.values()):
        for library in list_libraries(path):
            files[str(library)] = library
    output = io.BytesIO()
    with tarfile.open(fileobj=output, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for directory in (
            "usr",
            "usr/bin",
            "usr/sbin",
            "usr/lib",
            "usr/lib64",
            "tmp",
            "home",
            "home/app",
            "root",
            "etc",
            "etc/pam.d",
        ):
            _add_entry(archive, directory, b"", tarfile.DIRTYPE)
        for link in ("bin", "sbin", "lib", "lib64"):
            _add_entry(archive, link, f"usr/{link}".encode(), tarfile.SYMTYPE)
        for path, source in files.items():
            # The directories of libraries are links to those below /usr.
            _add_entry(archive, "/usr" + path if path.startswith(("/lib/", "/lib64/")) else path, source.read_bytes())
        _add_entry(archive, "usr/bin/sh", b"dash", tarfile.SYMTYPE)
        _add_entry(archive, "usr/bin/setuidgid", b"chpst", tarfile.SYMTYPE)
        _add_entry(archive, "usr/bin/ash", b"busybox", tarfile.SYMTYPE)
        _add_entry(archive, "usr/bin/id", b"busybox", tarfile.SYMTYPE)
        for path, text in _TEXTS.items():
            _add_entry(archive, path, text.encode(), mode=0o644)
        for path, text in _SCRIPTS.items():
            _add_entry(archive, path, text.encode())
    return output.getvalue()


def _add_entry(archive: tarfile.TarFile, path: str, content: bytes, kind: bytes = tarfile.REGTYPE, mode: int = 0o755) -> None:
    """Adds an entry to a tar; the content of a symbolic link is its target."""
    info = tarfile.TarInfo(path.lstrip("/"))
    info.type, info.mode = kind, mode
    if kind == tarfile.SYMTYPE:
        info.linkname = content.decode()
    elif kind == tarfile.REGTYPE:
        info.size = len(content)
    archive.addfile(info, io.BytesIO(content))


def list_libraries(path: pathlib.Path) -> list[pathlib.Path]:
    """Returns the paths of the loader and the libraries of a program on this machine."""
    done = subprocess.run(["ldd", path], capture_output=True, text=True)
    return [pathlib.Path(path) for path in re.findall(r"(?:=> )?(/\S+) \(0x", done.stdout)]


def list_prefixes() -> dict[str, Sequence[tuple[str, ...]]]:
    """Returns commands of each modelled program, without the program that it executes, by the module of the model."""
    return {
        "inits": [
            ("tini", "--"),
            ("tini", "-g", "-p", "SIGTERM", "-e", "143", "--"),
            ("tini-static", "-s", "--"),
            ("dumb-init",),
            ("dumb-init", "--rewrite", "15:3", "--"),
            ("dumb-init", "-c", "-v", "-r", "15:3"),
            ("catatonit", "--"),
            ("catatonit", "-g"),
        ],
        "passthrough": [
            ("env",),
            ("env", "-i", "A=1", f"PATH={PATH}"),
            ("env", "-u", "HOME", "-C", "/tmp"),
            ("env", "-S -u HOME A=${PATH}"),
            ("nice", "-n", "5"),
            ("nice", "-5"),
            ("nohup",),
            # timeout fails as the first process of a PID namespace (coreutils 9.7, src/timeout.c).
            ("tini", "timeout", "10"),
            ("tini", "--", "timeout", "-k", "3", "--foreground", "10"),
            ("stdbuf", "-oL"),
            ("ionice", "-c", "3"),
            ("chrt", "--other", "0"),
            ("taskset", "-c", "0"),
            ("setsid", "-w"),
            ("flock", "-s", "/tmp"),
            ("unshare", "--mount"),
            ("unshare", "-f", "--pid", "--keep-caps"),
            ("unshare", "-n", "-S", "1000", "-G", "1000"),
            ("busybox", "env", "-u", "HOME"),
            ("busybox", "timeout", "10"),
            ("busybox", "chroot", "/"),
            ("busybox", "taskset", "1"),
            ("busybox", "ionice", "-c", "3"),
            ("/lib64/ld-linux-x86-64.so.2", "/usr/bin/env"),
        ],
        "users": [
            ("gosu", "app"),
            ("gosu", "1000"),
            ("gosu", "1000:2000"),
            ("gosu", "4321:more"),
            ("gosu", "0"),
            ("s6-setuidgid", "app"),
            ("s6-setuidgid", "root"),
            ("chpst", "-u", "app"),
            ("chpst", "-u", "app:extra:more", "-C", "/tmp"),
            ("chpst", "-u", ":1000:1000", "-/", "/"),
            ("setuidgid", "web"),
            ("chroot", "/"),
            ("chroot", "--userspec=app", "/"),
            ("chroot", "--userspec=1000:2000", "--groups=2001,more", "/"),
            ("chroot", "--userspec=web:extra", "--skip-chdir", "/"),
            ("runuser", "-u", "app", "--"),
            ("start-stop-daemon", "--start", "--exec", "/usr/bin/env", "--chuid", "app", "--"),
            ("start-stop-daemon", "-S", "-c", "web:extra", "-x", "/usr/bin/env", "--"),
        ],
        "privileges": [
            ("setpriv", "--reuid=1000", "--clear-groups"),
            ("setpriv", "--reuid", "app", "--regid", "app", "--init-groups"),
            ("setpriv", "--reuid=1000", "--regid=1000", "--groups=2000,more", "--inh-caps=+net_raw", "--ambient-caps=+net_raw"),
            ("setpriv", "--inh-caps=-all", "--bounding-set=-net_raw"),
            ("setpriv", "--inh-caps=+all"),
            ("setpriv", "--inh-caps=+net_raw,+setpcap", "--ambient-caps=+all"),
            ("setpriv", "--ambient-caps=-all"),
            ("setpriv", "--no-new-privs", "--euid=1000"),
            ("setpriv", "--ruid=1000", "--keep-groups", "--rgid=1000"),
            ("setpriv", "--securebits=+noroot,+no_setuid_fixup", "--reuid=1000", "--keep-groups"),
            ("capsh", "--secbits=0x40", "--shell=/usr/bin/setpriv", "--", "--inh-caps=+net_raw", "--ambient-caps=+net_raw"),
            ("setpriv", "--bounding-set=-all", "--nnp"),
            ("setpriv", "--regid=1000"),
            ("busybox", "setpriv", "--nnp"),
            ("busybox", "setpriv", "--inh-caps", "+net_raw", "--ambient-caps", "+net_raw"),
            ("busybox", "setpriv", "--inh-caps", "-net_raw"),
            ("capsh", "--drop=all", "--", "-c", 'exec "$0" "$@"'),
            ("capsh", "--drop=cap_net_raw,cap_setuid", "--shell=/bin/sh", "--", "-c", '"$0" "$@"'),
            ("capsh", "--inh=cap_net_raw", "--addamb=cap_net_raw", "--shell=/usr/bin/env", "--"),
            ("capsh", "--keep=1", "--uid=1000", "--shell=/usr/bin/env", "--"),
            (
                "capsh",
                "--keep=1",
                "--gid=1000",
                "--uid=1000",
                "--inh=cap_net_raw",
                "--addamb=cap_net_raw",
                "--shell=/usr/bin/env",
                "--",
            ),
            ("capsh", "--user=app", "--shell=/usr/bin/env", "--"),
            ("capsh", "--user=app", "--inh=cap_net_raw", "--addamb=cap_net_raw", "--shell=/usr/bin/env", "--"),
            ("capsh", "--caps=cap_net_raw,cap_setpcap=ep", "--shell=/usr/bin/env", "--"),
            ("capsh", "--caps=cap_net_raw,cap_setpcap=eip cap_chown+i", "--noamb", "--shell=/usr/bin/env", "--"),
            ("capsh", "--secbits=0x2f", "--groups=extra,7", "--shell=/usr/bin/env", "--"),
            ("capsh", "--secbits=5", "--uid=1000", "--shell=/usr/bin/env", "--"),
            ("capsh", "--iab=^cap_net_raw,!cap_chown,%cap_kill", "--no-new-privs", "--shell=/usr/bin/env", "--"),
            ("capsh", "--delamb=cap_net_raw", "--chroot=/", "--shell=/usr/bin/env", "--"),
        ],
        "shells": [
            ("sh", "-c", 'exec "$@"', "sh"),
            ("sh", "-ec", '"$@"', "sh"),
            ("bash", "-euo", "pipefail", "-c", 'exec "$0" "$@"'),
            ("bash", "--norc", "-c", 'A=1 exec "$@"', "x"),
            ("bash", "/exec.sh"),
            ("dash", "-e", "/exec.sh"),
            ("ash", "-c", 'test -n "$1" && exec "$@"', "sh"),
            ("busybox", "sh", "-c", 'exec "$@"', "sh"),
            ("bash", "-c", 'if [ "$(id -u)" = 0 ]; then exec setpriv --reuid=1000 --clear-groups -- "$@"; fi; exec "$@"', "x"),
            ("sh", "-c", 'set -- env "$@"; case "$1" in env) shift;; esac; exec "$@"', "sh"),
            ("flock", "-s", "/tmp", "-c", "exec /usr/bin/env"),
            ("/exec.sh",),
            ("/env.sh",),
            ("/split.sh",),
            ("/drop.sh",),
            ("/last.sh",),
            ("su", "app", "-c", 'exec "$0" "$@"', "--"),
            ("su", "-s", "/bin/sh", "web", "-c", 'exec "$@"', "--", "sh"),
            ("runuser", "-s", "/bin/bash", "app", "-c", 'exec "$@"', "bash"),
        ],
    }
