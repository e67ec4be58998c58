"""Programs that change to another user and execute a program.

The models agree with gosu 1.19, chroot of GNU coreutils 9.10, su and runuser of util-linux 2.42.4 and start-stop-daemon of
dpkg 1.23.11 (tests/getcap/programs_test.py). su-exec is modelled by its source alone: Debian does not have it.
"""

from __future__ import annotations

import posixpath
from dataclasses import replace

from rules_setcap.capabilities import credentials, execve
from rules_setcap.containers.program_model import (
    Call,
    Execution,
    NotFollowed,
    ProcessState,
    ProgramFails,
    User,
    change_root,
    find_group,
    find_user,
    list_group_ids,
    parse_decimal,
)
from rules_setcap.containers.programs import options


def get_argument(call: Call, at: int) -> str:
    """Returns an argument that the program reads itself.

    Args:
      call: the running program.
      at: the position of the argument in argv.

    Raises:
      ProgramFails: the argument is missing.
      NotFollowed: the argument is not known.
    """
    for argument in call.argv[: at + 1]:
        if argument is None:
            raise NotFollowed("has arguments that are not known here")
    if at >= len(call.argv):
        raise ProgramFails("too few arguments")
    return call.argv[at] or ""


def change_ids(process: execve.Process, uid: int | None, gid: int | None, groups: tuple[int, ...] | None) -> execve.Process:
    """Sets groups, gid and uid in this order, the only one in which a root that gives up its privileges can; None keeps an id."""
    if groups is not None:
        process = credentials.setgroups(process, groups)
    if gid is not None:
        process = credentials.setgid(process, gid)
    if uid is not None:
        process = credentials.setuid(process, uid)
    return process


def parse_id(text: str) -> int:
    """Parses a uid or gid.

    Raises:
      ProgramFails: the text is not a number.
    """
    number = parse_decimal(text)
    if number is None:
        raise ProgramFails(f'not a valid id: "{text}"')
    return number


def resolve_directory(state: ProcessState, path: str) -> str:
    """Returns the current directory of a process after chdir(2) to a path."""
    return posixpath.normpath(posixpath.join(state.directory, path))


def follow_su_exec(call: Call) -> Execution | None:
    """Follows su-exec of Alpine: https://github.com/ncopa/su-exec, su-exec.c."""
    spec = get_argument(call, 1)
    if len(call.argv) < 3:
        raise ProgramFails("too few arguments")
    name, colon, group = spec.partition(":")
    uid, gid = call.state.process.ruid, call.state.process.rgid
    user: User | None = None
    if name:
        number = parse_decimal(name)
        if number is None:
            user = find_user(call, name)
            if user is None:
                raise ProgramFails(f'no such user: "{name}"')
        else:
            uid = number
    user = user or find_user(call, str(uid), by_uid=True)
    if user:
        uid, gid = user.uid, user.gid
    home = user.home if user else "/"
    if colon and group:
        user, number = None, parse_decimal(group)
        if number is None:
            entry = find_group(call, group)
            if entry is None:
                raise ProgramFails(f'no such group: "{group}"')
            number = entry.gid
        gid = number
    groups = list_group_ids(call, user.name, gid) if user else (gid,)
    state = replace(call.state, process=change_ids(call.state.process, uid, gid, groups)).with_variables(HOME=home)
    return call.execute(call.argv[2:], state)


def follow_gosu(call: Call) -> Execution | None:
    """Follows gosu: https://github.com/tianon/gosu, main.go and setup-user.go; moby/sys/user, GetExecUser."""
    spec = get_argument(call, 1)
    if spec in ("--help", "-h", "-?", "--version", "-v"):
        return None
    if len(call.argv) < 3:
        raise ProgramFails("too few arguments")
    name, _, group = spec.partition(":")
    uid, gid, home = call.state.process.ruid, call.state.process.rgid, "/"
    number = parse_decimal(name)
    users = call.system.read_users(call.state)
    user = next((user for user in users if user.name == name or (name == "" and user.uid == uid) or number == user.uid), None)
    if user:
        uid, gid, home = user.uid, user.gid, user.home
    elif name:
        if number is None:
            raise ProgramFails(f'no such user: "{name}"')
        uid = number
    groups: tuple[int, ...] = ()
    if group:
        number = parse_decimal(group)
        entry = next((entry for entry in call.system.read_groups(call.state) if entry.name == group or number == entry.gid), None)
        if entry is None and number is None:
            raise ProgramFails(f'no such group: "{group}"')
        gid = entry.gid if entry else number if number is not None else gid
    elif user:
        groups = tuple(entry.gid for entry in call.system.read_groups(call.state) if user.name in entry.members)
    state = replace(call.state, process=change_ids(call.state.process, uid, gid, groups)).with_variables(HOME=home)
    return call.execute(call.argv[2:], state)


def follow_chroot(call: Call) -> Execution | None:
    """Follows chroot of GNU coreutils, which without a program executes ${SHELL} -i: chroot(1); src/chroot.c."""
    parsed, rest = options.parse_options(
        call.argv[1:], "", {"groups": 1, "userspec": 1, "skip-chdir": 0, "help": 0, "version": 0}
    )
    if any(name in ("help", "version") for name, _ in parsed):
        return None
    if not rest or rest[0] is None:
        raise ProgramFails("no directory is given") if not rest else NotFollowed("has arguments that are not known here")
    values = dict(parsed)
    state = change_root(call, call.state, rest[0])
    if "skip-chdir" not in values:
        state = replace(state, directory="/")
    inside = replace(call, state=state)
    uid, gid, groups = _parse_userspec(inside, values.get("userspec"), values.get("groups"))
    state = replace(state, process=change_ids(state.process, uid, gid, groups))
    return call.execute(rest[1:] or (state.get_variable("SHELL") or "/bin/sh", "-i"), state)


def _parse_userspec(call: Call, spec: str | None, groups: str | None) -> tuple[int | None, int | None, tuple[int, ...] | None]:
    """Returns the uid, the gid and the groups of chroot's --userspec and --groups; None for those that stay.

    Args:
      call: the program, in its new root directory.
      spec: the value of --userspec; None if it is not there.
      groups: the value of --groups; None if it is not there.
    """
    uid: int | None = None
    gid: int | None = None
    user: User | None = None
    if spec:
        name, _, group = spec.partition(":")
        if name:
            user = find_user(call, name.removeprefix("+")) if parse_decimal(name.removeprefix("+")) is None else None
            uid = user.uid if user else parse_id(name.removeprefix("+"))
            if not user:
                user = find_user(call, str(uid), by_uid=True)
        if group:
            entry = find_group(call, group)
            gid = entry.gid if entry else parse_id(group.removeprefix("+"))
        elif user:
            gid = user.gid
        elif uid is not None:
            raise ProgramFails(f'no group is given for the uid "{name}"')
    gids: tuple[int, ...] | None = None
    if groups is not None:
        ids = []
        for name in filter(None, groups.split(",")):
            entry = find_group(call, name)
            ids.append(entry.gid if entry else parse_id(name))
        gids = tuple(ids)
    elif uid is not None and user:
        gids = list_group_ids(call, user.name, gid if gid is not None else user.gid)
    return uid, gid, gids


def follow_runuser(call: Call) -> Execution | None:
    """Follows su(1) and runuser(1) of util-linux: login-utils/su-common.c, su_main.

    PAM is taken to let root in without a password (pam_rootok(8)).
    """
    command = call.name.rpartition("/")[2]
    names = {
        "command": 1, "session-command": 1, "fast": 0, "login": 0, "preserve-environment": 0, "pty": 0, "no-pty": 0, "shell": 1,
        "group": 1, "supp-group": 1, "whitelist-environment": 1, "help": 0, "version": 0,
    }  # fmt: skip
    if command == "runuser":
        names["user"] = 1
    parsed, rest = options.parse_options(call.argv[1:], "c:fg:G:lmpPTs:u:hVw:", names, permute=True)
    login = False
    if rest and rest[0] == "-":
        login, rest = True, rest[1:]
    values = {_SU_LETTERS.get(name, name): value for name, value in parsed}
    if "h" in values or "V" in values:
        return None
    if call.state.process.ruid != 0:
        raise ProgramFails("only root may use it") if command == "runuser" else NotFollowed("asks for a password")
    if "l" in values:
        login = True
    if login or "w" in values:
        raise NotFollowed("starts a login shell, whose files may do anything")
    if "g" in values or "G" in values:
        raise NotFollowed("has options that are not followed here (-g, -G)")
    if "u" in values and command == "runuser":
        user_name = values["u"]
    else:
        if rest and rest[0] is None:
            raise NotFollowed("has arguments that are not known here")
        user_name = (rest[0] if rest else "root") or ""
        rest = rest[1:]
    user = find_user(call, user_name)
    if user is None:
        raise ProgramFails(f'no such user: "{user_name}"')
    groups = list_group_ids(call, user.name, user.gid)
    process = change_ids(call.state.process, user.uid, user.gid, groups)
    state = replace(call.state, process=process)
    if "u" in values and command == "runuser":
        return call.execute(rest, state)
    state = state.with_variables(HOME=user.home, SHELL=values.get("s") or user.shell or "/bin/sh")
    if user.uid:
        state = state.with_variables(USER=user.name, LOGNAME=user.name)
    shell = values.get("s") or user.shell or "/bin/sh"
    name = shell.rpartition("/")[2]
    if "c" in values:
        return Execution((name, "-c", values["c"], *rest), state, file=shell)
    return Execution((name, *rest), state, file=shell)


_SU_LETTERS = {
    "command": "c", "session-command": "c", "fast": "f", "login": "l", "preserve-environment": "p", "shell": "s", "group": "g",
    "supp-group": "G", "whitelist-environment": "w", "user": "u", "help": "h", "version": "V",
}  # fmt: skip
"""The letters of the long options of su and runuser."""


def follow_start_stop_daemon(call: Call) -> Execution | None:
    """Follows start-stop-daemon of dpkg: start-stop-daemon(8); utils/start-stop-daemon.c, do_start."""
    names = {
        "help": 0, "stop": 0, "start": 0, "status": 0, "version": 0, "startas": 1, "name": 1, "oknodo": 0, "ppid": 1, "pid": 1,
        "quiet": 0, "signal": 1, "test": 0, "user": 1, "group": 1, "chroot": 1, "verbose": 0, "exec": 1, "chuid": 1,
        "nicelevel": 1, "procsched": 1, "iosched": 1, "umask": 1, "background": 0, "notify-await": 0, "notify-timeout": 1,
        "no-close": 0, "make-pidfile": 0, "pidfile": 1, "retry": 1, "remove-pidfile": 0, "chdir": 1, "output": 1,
    }  # fmt: skip
    parsed, rest = options.parse_options(call.argv[1:], "HKSVTa:n:op:qr:s:tu:vx:c:N:P:I:k:bmR:g:d:CO:", names, permute=True)
    values = dict(parsed)

    def get_value(letter: str, name: str) -> str | None:
        return values.get(letter, values.get(name))

    if get_value("S", "start") is None:
        return None
    program = get_value("a", "startas") or get_value("x", "exec")
    if not program:
        raise ProgramFails("neither --exec nor --startas is given")
    state = call.state
    if (root := get_value("r", "chroot")) is not None:
        state = replace(change_root(call, state, root), directory="/")
    state = replace(state, directory=resolve_directory(state, get_value("d", "chdir") or "/"))
    process = state.process
    chuid, group = get_value("c", "chuid"), get_value("g", "group")
    uid: int | None = None
    gid: int | None = None
    user: User | None = None
    if chuid is not None:
        name, colon, after = chuid.partition(":")
        group = after if colon else group
        number = parse_decimal(name)
        user = find_user(call, name if number is None else str(number), by_uid=number is not None)
        if user is None and number is None:
            raise ProgramFails(f'no such user: "{name}"')
        uid = user.uid if user else number
        gid = user.gid if user else None
    if group is not None:
        number = parse_decimal(group)
        entry = find_group(call, group) if number is None else None
        if entry is None and number is None:
            raise ProgramFails(f'no such group: "{group}"')
        gid = entry.gid if entry else number
    if gid is not None and gid != process.rgid:
        process = credentials.setgid(process, gid)
    if uid is not None and user is not None and (uid != process.ruid or gid != call.state.process.rgid):
        process = credentials.setgroups(process, list_group_ids(call, user.name, gid if gid is not None else user.gid))
    if uid is not None and uid != process.ruid:
        process = credentials.setuid(process, uid)
    return Execution((program, *rest), replace(state, process=process), file=program)
