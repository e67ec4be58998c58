"""BusyBox, whose name or first argument selects one of its applets (https://busybox.net/downloads/BusyBox.html).

The models agree with Debian's BusyBox 1.38.0 (tests/getcap/programs_test.py). Alpine's build differs
in FEATURE_PREFER_APPLETS and FEATURE_SH_STANDALONE; where these matter, the next program is unknown.
"""

from __future__ import annotations

import posixpath
from collections.abc import Mapping
from dataclasses import replace

from rules_setcap.capabilities import credentials
from rules_setcap.capabilities.names import NAMES, find_number
from rules_setcap.containers.program_model import Call, Execution, Model, NotFollowed, ProgramFails, change_root
from rules_setcap.containers.programs import daemontools, inits, options, passthrough, privileges, users
from rules_setcap.containers.programs.shells import make_shell_model


def follow_busybox(call: Call) -> Execution | None:
    """Follows the applet that argv[0] names, or argv[1] if argv[0] is BusyBox itself."""
    argv = call.argv
    if posixpath.basename(call.name).startswith("busybox"):
        argv = argv[1:]
        if argv[:1] == [None]:
            raise NotFollowed("has arguments that are not known here")
    name = posixpath.basename((argv[0] if argv else "") or "").removeprefix("-")
    if name not in APPLETS:
        return None
    state = call.state
    if name != "su" and state.process.ruid:
        # libbb/appletlib.c, check_suid: an applet that does not need set-user-ID drops the effective ids, unless root runs it.
        process = credentials.setuid(credentials.setgid(state.process, state.process.rgid), state.process.ruid)
        state = replace(state, process=process)
    execution = APPLETS[name](replace(call, argv=argv, state=state))
    if execution and not execution.file and execution.argv[0] in APPLETS and execution.argv[0]:
        # FEATURE_PREFER_APPLETS and FEATURE_SH_STANDALONE: Debian's build has them, Alpine's does not.
        path = call.system.find_program(execution.argv[0], execution.state)
        if path and not call.system.is_busybox(path):
            raise NotFollowed(f"executes {path}, or its own applet of that name")
    return execution


def _follow_chroot(call: Call) -> Execution | None:
    """Follows the applet chroot NEWROOT [PROG ARGS]: coreutils/chroot.c."""
    directory = users.get_argument(call, 1)
    state = replace(change_root(call, call.state, directory), directory="/")
    return call.execute(call.argv[2:] or (state.get_variable("SHELL") or "/bin/sh", "-i"), state)


def _follow_env(call: Call) -> Execution | None:
    """Follows the applet env [-i0] [-u NAME] [-] [NAME=VALUE]... [PROG ARGS], which has no -S: coreutils/env.c."""
    for word in call.argv[1:]:
        if word is None or not word.startswith("-"):
            break
        if word.startswith(("-S", "-C", "-v", "--split", "--chdir")):
            raise ProgramFails(f'unknown option "{word}"')
    return passthrough.follow_env(call)


def _follow_setpriv(call: Call) -> Execution | None:
    """Follows the applet setpriv [--nnp] [--inh-caps CAPS] [--ambient-caps CAPS] PROG ARGS: util-linux/setpriv.c."""
    parsed, rest = options.parse_options(
        call.argv[1:], "d", {"dump": 0, "nnp": 0, "no-new-privs": 0, "inh-caps": 1, "ambient-caps": 1}
    )
    process = call.state.process
    values = dict(parsed)
    if {"d", "dump"} & values.keys():
        return None
    if {"nnp", "no-new-privs"} & values.keys():
        process = process._replace(no_new_privs=True)
    if "inh-caps" in values:
        mask = process.inheritable
        for text in values["inh-caps"].split(","):
            bit = _parse_change(text)
            mask = mask | bit if text[0] == "+" else mask & ~bit
        process = credentials.capset(process, inheritable=mask)
    if "ambient-caps" in values:
        for text in values["ambient-caps"].split(","):
            bit = _parse_change(text)
            if text[0] == "+":
                # The applet warns of a capability that the kernel refuses, and goes on.
                if not process.securebits & credentials.SECBIT_NO_CAP_AMBIENT_RAISE:
                    process = process._replace(ambient=process.ambient | bit & process.permitted & process.inheritable)
            else:
                process = process._replace(ambient=process.ambient & ~bit)
    if not rest:
        raise NotFollowed("starts a shell")
    return call.execute(rest, replace(call.state, process=process))


def _parse_change(text: str) -> int:
    """Returns the mask of +NAME, -NAME, +cap_NAME or +cap_NUMBER."""
    name = text[1:]
    bit = find_number("cap_" + name.removeprefix("cap_"))
    if bit is None and name.startswith("cap_") and name[4:].isdigit():
        bit = int(name[4:])
    if text[:1] not in ("+", "-") or bit is None or bit >= len(NAMES):
        raise ProgramFails(f'not a valid capability: "{text}"')
    return 1 << bit


APPLETS: Mapping[str, Model] = {
    "ash": make_shell_model(bash=False, drops=False),
    "chpst": daemontools.follow_chpst,
    "chroot": _follow_chroot,
    "chrt": passthrough.make_passthrough_model("mprfobi", skip=1, ends="m p"),
    "env": _follow_env,
    "envdir": daemontools.follow_chpst,
    "envuidgid": daemontools.follow_chpst,
    "flock": passthrough.follow_flock,
    "hush": passthrough.make_unfollowed_model("is a shell that is not followed here"),
    "init": passthrough.make_unfollowed_model("starts the programs of /etc/inittab"),
    "ionice": passthrough.make_passthrough_model("c:n:p:t", ends="p"),
    "linux32": passthrough.make_passthrough_model(""),
    "linux64": passthrough.make_passthrough_model(""),
    "nice": passthrough.follow_nice,
    "nohup": passthrough.make_passthrough_model(""),
    "nsenter": passthrough.make_unfollowed_model("enters other namespaces"),
    "runsv": passthrough.make_unfollowed_model("starts the run script of a service"),
    "runsvdir": passthrough.make_unfollowed_model("starts the run scripts of services"),
    "script": passthrough.make_unfollowed_model("starts a shell in a terminal"),
    "setpriv": _follow_setpriv,
    "setsid": passthrough.make_passthrough_model("c"),
    "setuidgid": daemontools.follow_chpst,
    "sh": make_shell_model(bash=False, drops=False),
    "softlimit": daemontools.follow_chpst,
    "start-stop-daemon": passthrough.make_unfollowed_model("is not followed here"),
    "su": users.follow_runuser,
    "taskset": passthrough.follow_taskset,
    "time": passthrough.make_passthrough_model("vpao:f:"),
    "timeout": passthrough.make_passthrough_model("s:k:p", skip=1),
    "tini": inits.follow_tini,
    "unshare": privileges.follow_unshare,
    "watch": passthrough.make_unfollowed_model("executes a program again and again"),
    "xargs": passthrough.make_unfollowed_model("adds what it reads to a command"),
}
"""The applets that execute programs, by name."""
