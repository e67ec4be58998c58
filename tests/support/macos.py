"""Runs a Python program without the parts of Python's standard library that exist only on Linux, to simulate macOS.

Usage: python macos.py [INTERPRETER OPTION...] PROGRAM [ARGUMENT...]

The removed names are those that typeshed declares for Linux and not for macOS, and SEEK_HOLE and SEEK_DATA, which depend on the
version of macOS. A name that ends with "_" stands for all names that begin with it.
"""

from __future__ import annotations

import builtins
import fcntl
import io
import os
import resource
import runpy
import select
import signal
import sys
import time
import types
from collections.abc import Callable
from typing import Any

_OS = """
CLONE_ EFD_ GRND_ MFD_ PIDFD_ POSIX_FADV_ RWF_ SCHED_ SPLICE_ TFD_ XATTR_
O_DIRECT O_LARGEFILE O_NOATIME O_PATH O_RSYNC O_TMPFILE POSIX_SPAWN_CLOSEFROM P_PIDFD RTLD_DEEPBIND SEEK_DATA SEEK_HOLE
ST_APPEND ST_MANDLOCK ST_NOATIME ST_NODEV ST_NODIRATIME ST_NOEXEC ST_RELATIME ST_SYNCHRONOUS ST_WRITE
copy_file_range eventfd eventfd_ fdatasync getrandom getresgid getresuid getxattr listxattr memfd_ pidfd_ pipe2 posix_fadvise
posix_fallocate process_cpu_count removexattr sched_ setns setresgid setresuid setxattr splice timerfd_ unshare
"""
_LINUX_ONLY = {
    fcntl: "DN_ FICLONE F_ADD_SEALS F_GETPIPE_SZ F_GET_SEALS F_NOTIFY F_SEAL_ F_SETPIPE_SZ F_SETSIG",
    os: _OS,
    resource: "RLIMIT_MSGQUEUE RLIMIT_NICE RLIMIT_OFILE RLIMIT_RTPRIO RLIMIT_RTTIME RLIMIT_SIGPENDING RUSAGE_THREAD prlimit",
    select: "EPOLL epoll POLLMSG POLLRDHUP",
    signal: "SIGCLD SIGPOLL SIGPWR SIGRTMAX SIGRTMIN SIGSTKFLT pidfd_ sigtimedwait sigwaitinfo",
    time: "CLOCK_BOOTTIME CLOCK_TAI pthread_getcpuclockid",
}
_DIRECTORIES = ("/proc", "/sys")
# The module of macOS that asks the system for its proxies. There are none.
_PROXIES = {"_get_proxies": dict, "_get_proxy_settings": dict}


def list_linux_names() -> dict[str, list[str]]:
    """Returns the names that exist only on Linux, by module."""
    names = {}
    for module, text in _LINUX_ONLY.items():
        words = text.split()
        prefixes = tuple(word for word in words if word.endswith("_"))
        names[module.__name__] = [name for name in vars(module) if name in words or (prefixes and name.startswith(prefixes))]
    return names


def _without_directories(function: Callable[..., Any]) -> Callable[..., Any]:
    """Returns a function like `function` that does not find files in _DIRECTORIES."""

    def wrapped(path: Any, *arguments: Any, **options: Any) -> Any:
        if isinstance(path, (bytes, str)) and os.fsdecode(path).startswith(_DIRECTORIES):
            raise FileNotFoundError(2, "No such file or directory", path)
        return function(path, *arguments, **options)

    return wrapped


def main(arguments: list[str]) -> None:
    """Runs the program in this process."""
    for module, names in list_linux_names().items():
        for name in names:
            delattr(sys.modules[module], name)
    builtins.open = io.open = _without_directories(open)
    for name in ("listdir", "open", "readlink", "stat"):
        setattr(os, name, _without_directories(getattr(os, name)))
    sys.modules["_scproxy"] = types.ModuleType("_scproxy")
    vars(sys.modules["_scproxy"]).update(_PROXIES)
    while arguments[0].startswith("-"):
        del arguments[: 2 if arguments[0] == "-X" else 1]
    sys.argv[:] = arguments
    sys.platform = "darwin"
    runpy.run_path(arguments[0], run_name="__main__")


if __name__ == "__main__":
    main(sys.argv[1:])
