"""The table of programs that have a model, by file name.

A program that is not in the table is taken to be the one that the container is about. To add a program, see the docstring
of this package (__init__.py): write the model, and add the file name to

  _COREUTILS   if it is a part of GNU coreutils (coreutils-single has these in one binary),
  _UNFOLLOWED  if it executes programs that nothing here can know, with the reason,
  MODELS       in all other cases.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Mapping

from rules_setcap.containers.program_model import Model
from rules_setcap.containers.programs import busybox, capsh, daemontools, inits, passthrough, privileges, users
from rules_setcap.containers.programs.shells import make_shell_model

_COREUTILS: Mapping[str, Model] = {
    "chroot": users.follow_chroot,
    "env": passthrough.follow_env,
    "nice": passthrough.follow_nice,
    "nohup": passthrough.make_passthrough_model(""),
    "stdbuf": passthrough.follow_stdbuf,
    "timeout": passthrough.follow_timeout,
}

_UNFOLLOWED = {
    "aa-exec": "changes the AppArmor profile",
    "authbind": "is not followed here",
    "circusd": "starts the programs of its configuration",
    "crond": "starts the programs of crontabs",
    "cron": "starts the programs of crontabs",
    "doas": "is told by doas.conf what it executes, and as whom",
    "execlineb": "is a language that is not followed here",
    "fakeroot": "is not followed here",
    "find": "may execute programs",
    "firejail": "is not followed here",
    "fish": "is a shell that is not followed here",
    "monit": "starts the programs of its configuration",
    "nsenter": "enters other namespaces",
    "parallel": "adds what it reads to a command",
    "pm2": "starts the programs of its configuration",
    "pm2-runtime": "starts the programs of its configuration",
    "proot": "is not followed here",
    "run-parts": "executes the programs of a directory",
    "runsv": "starts the run script of a service",
    "runsvdir": "starts the run scripts of services",
    "s6-overlay-suexec": "starts the programs of s6-overlay",
    "s6-supervise": "starts the run script of a service",
    "s6-svscan": "starts the run scripts of services",
    "script": "starts a shell in a terminal",
    "strace": "traces programs, under which file capabilities may not count",
    "sudo": "is told by sudoers what it executes, and as whom",
    "supervisord": "starts the programs of its configuration",
    "svscan": "starts the run scripts of services",
    "systemd": "starts the services of its units",
    "watch": "executes a program again and again",
    "xargs": "adds what it reads to a command",
    "zsh": "is a shell that is not followed here",
}  # fmt: skip

MODELS: Mapping[str, Model] = {
    **_COREUTILS,
    **{name: passthrough.make_unfollowed_model(reason) for name, reason in _UNFOLLOWED.items()},
    "ash": make_shell_model(bash=False, drops=False),
    "bash": make_shell_model(bash=True, drops=True),
    "busybox": busybox.follow_busybox,
    "busybox.static": busybox.follow_busybox,
    "capsh": capsh.follow_capsh,
    "catatonit": inits.follow_catatonit,
    "catchsegv": passthrough.make_passthrough_model(""),
    "chpst": daemontools.follow_chpst,
    "chrt": passthrough.make_passthrough_model(
        "abdD:efhimoP:prRT:vV",
        {"batch": 0, "deadline": 0, "ext": 0, "fifo": 0, "idle": 0, "other": 0, "rr": 0, "reset-on-fork": 0, "sched-runtime": 1,
         "sched-period": 1, "sched-deadline": 1, "all-tasks": 0, "max": 0, "pid": 0, "verbose": 0},
        skip=1,
        ends="h m max p pid V",
    ),
    "coreutils": passthrough.make_coreutils_model(_COREUTILS),
    "dash": make_shell_model(bash=False, drops=True),
    "docker-init": inits.follow_tini,
    "dumb-init": inits.follow_dumb_init,
    "envdir": daemontools.follow_chpst,
    "envuidgid": daemontools.follow_chpst,
    "flock": passthrough.follow_flock,
    "gosu": users.follow_gosu,
    "ionice": passthrough.make_passthrough_model(
        "c:n:p:P:u:tVh",
        {"class": 1, "classdata": 1, "pid": 1, "pgid": 1, "uid": 1, "ignore": 0},
        ends="p P u h V pid pgid uid",
    ),
    "ksh": make_shell_model(bash=False, drops=False),
    "linux32": passthrough.make_passthrough_model("", ends=""),
    "linux64": passthrough.make_passthrough_model("", ends=""),
    "pgrphack": daemontools.follow_chpst,
    "runuser": users.follow_runuser,
    "s6-applyuidgid": daemontools.follow_s6_applyuidgid,
    "s6-envuidgid": daemontools.follow_s6_envuidgid,
    "s6-setuidgid": daemontools.follow_s6_setuidgid,
    "setlock": daemontools.follow_chpst,
    "setpriv": privileges.follow_setpriv,
    "setsid": passthrough.make_passthrough_model("cfwhV", {"ctty": 0, "fork": 0, "wait": 0}, ends="h V"),
    "setuidgid": daemontools.follow_chpst,
    "sh": make_shell_model(bash=False, drops=True),
    "softlimit": daemontools.follow_chpst,
    "start-stop-daemon": users.follow_start_stop_daemon,
    "su": users.follow_runuser,
    "su-exec": users.follow_su_exec,
    "taskset": passthrough.follow_taskset,
    "time": passthrough.make_passthrough_model("af:o:pqvV", {"append": 0, "format": 1, "output": 1, "portability": 0, "quiet": 0, "verbose": 0}, ends="V"),
    "tini": inits.follow_tini,
    "tini-static": inits.follow_tini,
    "unshare": privileges.follow_unshare,
}  # fmt: skip

_LOADER = re.compile(r"ld(-linux[-a-z0-9_]*|-musl-[a-z0-9_]+|64|-[0-9.]+)?\.so(\.[0-9]+)?")


def find_model(path: str, name: str) -> Model | None:
    """Returns the model of a program; None if it has none.

    Args:
      path: the path of the file, without symbolic links: /bin/dash.
      name: argv[0] of the program: sh.
    """
    file_name, called_name = posixpath.basename(path), posixpath.basename(name)
    if _LOADER.fullmatch(file_name):
        return passthrough.follow_loader
    # The file decides, because links have any name. A file without a model may still be one that is called by a known name.
    return MODELS.get(file_name) or MODELS.get(called_name)
