"""Rates each capability by the danger of a process that has it.

The danger is that of an attacker who controls a process with the capability effective, and nothing else. Severities:

    critical  the capability alone equals root of the container or of the machine
    high      the capability equals root in usual circumstances, or reaches every file or all traffic
    medium    an attacker can deceive, spy on or stop other processes, or becomes root in rare circumstances
    low       an attacker can take resources from others, or do little
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple

LOW, MEDIUM, HIGH, CRITICAL = "low", "medium", "high", "critical"
SEVERITIES = LOW, MEDIUM, HIGH, CRITICAL
"""All severities, the lowest first."""

RUNNER = "a program that runs any other program"
"""The kind of programs that pass on the effect of a set-user-ID bit, but not capabilities: the next execve(2) takes these away."""


class Danger(NamedTuple):
    """The danger of one capability.

    Attributes:
      severity: one of SEVERITIES.
      gives: what the capability lets an attacker do, as a clause without subject and full stop.
      sources: the documents that say so, by name and section.
    """

    severity: str
    gives: str
    sources: tuple[str, ...]


# The sources. The first is by Brad Spengler, 2011: which capabilities equal root, and how.
_SPENGLER = 'grsecurity, "False Boundaries and Arbitrary Code Execution"'
_DOCKER = 'Docker, "Runtime privilege and Linux capabilities"'
_BASELINE = 'Kubernetes, "Pod Security Standards", "Baseline"'  # Pods may not add the capability.
_HEADER = "include/uapi/linux/capability.h of Linux"

_TABLE: dict[str, tuple[str, str, tuple[str, ...]]] = {
    "chown": (CRITICAL, "takes ownership of any file, such as /etc/shadow, and so becomes root", (_SPENGLER,)),
    "dac_override": (CRITICAL, "reads and writes any file, such as a program that root runs, and so becomes root", (_SPENGLER,)),
    "dac_read_search": (
        HIGH,
        "reads any file, and by open_by_handle_at(2) files of the host on the same file system as any mount of the container",
        (_SPENGLER, "open_by_handle_at(2)", 'Docker, "Docker Container Breakout Proof-of-Concept Exploit" (2014)'),
    ),
    "fowner": (CRITICAL, "changes the mode of any file, such as /etc/shadow, and so becomes root", (_SPENGLER,)),
    "fsetid": (MEDIUM, "keeps set-ID bits when it writes to a file, and sets them for groups that it is not in", (_SPENGLER,)),
    "kill": (MEDIUM, "sends signals to processes of other users; stops a service and takes its port", (_SPENGLER,)),
    "setgid": (HIGH, "becomes a member of any group, such as root, shadow or docker", (_SPENGLER,)),
    "setuid": (CRITICAL, "becomes any user, such as root", (_SPENGLER, 'GTFOBins, "Capabilities"')),
    "setpcap": (
        MEDIUM,
        "makes any capability of the bounding set inheritable; programs with inheritable file capabilities then have it",
        (_SPENGLER,),
    ),
    "linux_immutable": (LOW, "sets and clears the immutable and append-only flags of files", (_SPENGLER,)),
    "net_bind_service": (LOW, "listens on ports below 1024, in place of a service that does not run", (_SPENGLER,)),
    "net_broadcast": (LOW, "nothing: the kernel does not use it", ()),
    "net_admin": (
        HIGH,
        "changes addresses, routes and the packet filter of its network namespace, and so redirects traffic; reaches much kernel code",
        (_SPENGLER, "CVE-2024-1086", _BASELINE),
    ),
    "net_raw": (
        MEDIUM,
        "reads and forges any packet of its network namespace, and so deceives its neighbours (ARP, DNS, IPv6 routers)",
        (_SPENGLER, "CVE-2020-10749", "CVE-2020-14386", _BASELINE),
    ),
    "ipc_lock": (LOW, "locks memory without limit, and so takes it from others", ("mlock(2)",)),
    "ipc_owner": (MEDIUM, "reads and changes System V shared memory, semaphores and messages of other users", (_SPENGLER,)),
    "sys_module": (CRITICAL, "loads code into the kernel", (_SPENGLER, _DOCKER)),
    "sys_rawio": (
        CRITICAL,
        "reads and writes I/O ports and, where /dev has it, memory: disks and the kernel",
        (_SPENGLER, _DOCKER),
    ),
    "sys_chroot": (
        MEDIUM,
        "runs set-user-ID programs with libraries of its own, if it can link them into a directory that it controls",
        (_SPENGLER,),
    ),
    "sys_ptrace": (
        CRITICAL,
        "controls any process of its PID namespace, and so does what those may do",
        (_SPENGLER, "ptrace(2)"),
    ),
    "sys_pacct": (LOW, "turns process accounting on and off", ("acct(2)",)),
    "sys_admin": (
        CRITICAL,
        "mounts file systems and does much else that root may do; exploits left containers with it alone",
        (_SPENGLER, 'capabilities(7), "Notes to kernel developers": "the new root"', "CVE-2022-0492"),
    ),
    "sys_boot": (
        HIGH,
        "restarts the machine, or only its own PID namespace; prepares another kernel to run",
        (_SPENGLER, "reboot(2)"),
    ),
    "sys_nice": (LOW, "takes processor time from others by priorities and real-time scheduling", (_SPENGLER,)),
    "sys_resource": (
        MEDIUM,
        "exceeds quotas and resource limits, and so takes disk space and processes from others",
        ("setrlimit(2)",),
    ),
    "sys_time": (
        MEDIUM,
        "sets the clock of the whole machine, which certificates and logs depend on",
        ("time_namespaces(7)", _DOCKER),
    ),
    "sys_tty_config": (
        MEDIUM,
        "changes the keyboard map of an administrator's terminal, and so what is typed there",
        (_SPENGLER,),
    ),
    "mknod": (
        HIGH,
        "makes device files, and reads and writes disks by them where the runtime's list of devices allows it",
        (_SPENGLER, 'cgroups(7), "devices"'),
    ),
    "lease": (LOW, "takes leases on files of others, and so delays whoever opens them", ('fcntl(2), "Leases"',)),
    "audit_write": (MEDIUM, "writes forged records to the kernel's audit log", ()),
    "audit_control": (
        MEDIUM,
        "turns auditing off, or logs what is typed on terminals; from the host's PID namespace alone",
        (_SPENGLER,),
    ),
    "setfcap": (CRITICAL, "gives any file any capability of the bounding set, and so has them all", (_SPENGLER,)),
    "mac_override": (HIGH, "ignores the mandatory access control of Smack", (_HEADER,)),
    "mac_admin": (HIGH, "changes the mandatory access control policy of Smack and other security modules", (_HEADER,)),
    "syslog": (
        MEDIUM,
        "reads the kernel's log and its addresses, which exploits of the kernel need",
        ('Linux, "/proc/sys/kernel/", "dmesg_restrict", "kptr_restrict"',),
    ),
    "wake_alarm": (LOW, "wakes the machine from suspend by a timer", ("timer_create(2)",)),
    "block_suspend": (LOW, "keeps the machine from suspending", ("epoll_ctl(2), EPOLLWAKEUP",)),
    "audit_read": (MEDIUM, "reads the audit log: what others do", ()),
    "perfmon": (
        HIGH,
        "observes the kernel and every process, their data included; with cap_bpf reads any kernel memory",
        ('Linux, "Perf events and tool security", "Overview"', _HEADER),
    ),
    "bpf": (
        HIGH,
        "loads BPF programs and reads BPF maps; with cap_perfmon or cap_net_admin observes the kernel or all traffic",
        (_HEADER, "CVE-2021-3490", _BASELINE),
    ),
    "checkpoint_restore": (MEDIUM, "chooses the PIDs of new processes, and reads the mapped files of others", (_HEADER,)),
}

DANGERS: dict[str, Danger] = {
    "cap_" + name: Danger(severity, gives, (f'capabilities(7), "Capabilities list", CAP_{name.upper()}', *more))
    for name, (severity, gives, more) in _TABLE.items()
}
"""The danger of every capability, by its name as libcap prints it."""


_PROGRAM_NAMES = {
    "a shell": "ash bash busybox csh dash fish ksh mksh pwsh rbash sh tcsh toybox yash zsh",
    "an interpreter": (
        "awk bun deno erl escript gawk gjs guile irb java jjs jrunscript jshell julia lua luajit mawk nawk node nodejs octave perl php "
        "php-cgi pypy python R Rscript ruby tclsh wish"
    ),
    "a debugger": "bpftrace gdb gdbserver lldb ltrace perf rr strace",
    "a program that uses its privileges for any other program": "capsh chroot gosu nsenter runc setpriv su-exec unshare",
    "a program that reads or writes any file that it is told to": (
        "base64 cat chgrp chmod chown cp cpio curl dd ed emacs find git gzip head install ln make mv nano nc ncat nmap openssl rsync sed "
        "setcap socat tail tar tcpdump tee unzip vi view vim wget xxd zip"
    ),
    RUNNER: ("env flock ionice nice nohup parallel script setarch start-stop-daemon stdbuf taskset time timeout watch xargs"),
}
_KINDS = {name: kind for kind, names in _PROGRAM_NAMES.items() for name in names.split()}
_VERSION = re.compile(r"-?[0-9][0-9.]*[a-z]?$", re.ASCII)  # python3.14t, perl5.40.1, lua-5.4


def find_program_kind(name: str) -> str:
    """Returns the kind of a program that does with its privileges whatever its user tells it to; "" for other programs.

    The programs are those of GTFOBins (https://gtfobins.github.io) that images have, and similar ones.

    Args:
      name: the file name of the program, which may end with a version.
    """
    return _KINDS.get(name) or _KINDS.get(_VERSION.sub("", name), "")


def find_worst_severity(severities: Iterable[str]) -> str:
    """Returns the highest of some severities; "low" if there are none."""
    return max(severities, key=SEVERITIES.index, default=LOW)
