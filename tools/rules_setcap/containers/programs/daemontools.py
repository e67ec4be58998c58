"""Programs of s6, runit and daemontools, most of which change to another user.

The models agree with s6 2.15.1.0 and chpst of runit 2.3.1 (tests/getcap/programs_test.py). The programs of daemontools are
those that are links to chpst.
"""

from __future__ import annotations

from dataclasses import replace

from rules_setcap.capabilities import credentials, execve
from rules_setcap.containers.program_model import Call, Execution, NotFollowed, ProgramFails, change_root, find_group, find_user
from rules_setcap.containers.programs import options, users


def follow_s6_setuidgid(call: Call) -> Execution | None:
    """Follows s6-setuidgid, which executes two more programs of s6: https://skarnet.org/software/s6/s6-setuidgid.html."""
    _, rest = options.parse_options(call.argv[1:], "")
    if len(rest) < 2 or rest[0] is None:
        raise ProgramFails("too few arguments") if None not in rest else NotFollowed("has arguments that are not known here")
    directory = call.path.rpartition("/")[0]
    setter = f"{directory}/s6-applyuidgid"
    return Execution((f"{directory}/s6-envuidgid", rest[0], setter, "-Uz", *rest[1:]), call.state)


def follow_s6_envuidgid(call: Call) -> Execution | None:
    """Follows s6-envuidgid, which sets UID, GID and GIDLIST: https://skarnet.org/software/s6/s6-envuidgid.html."""
    parsed, rest = options.parse_options(call.argv[1:], "ugGinBD:")
    if parsed:
        raise NotFollowed("has options that are not followed here")
    if len(rest) < 2 or rest[0] is None:
        raise ProgramFails("too few arguments") if None not in rest else NotFollowed("has arguments that are not known here")
    user = find_user(call, rest[0])
    if user is None:
        raise ProgramFails(f'no such user: "{rest[0]}"')
    groups = tuple(group.gid for group in call.system.read_groups(call.state) if user.name in group.members)
    state = call.state.with_variables(UID=str(user.uid), GID=str(user.gid), GIDLIST=",".join(map(str, groups)) or str(user.gid))
    return call.execute(rest[1:], state)


def follow_s6_applyuidgid(call: Call) -> Execution | None:
    """Follows s6-applyuidgid: https://skarnet.org/software/s6/s6-applyuidgid.html."""
    parsed, rest = options.parse_options(call.argv[1:], "zu:g:G:U")
    uid: int | None = None
    gid: int | None = None
    groups: tuple[int, ...] | None = None
    state = call.state
    for name, value in parsed:
        if name == "u":
            uid = users.parse_id(value)
        elif name == "g":
            gid = users.parse_id(value)
        elif name == "G":
            groups = _parse_ids(value)
        elif name == "U":
            uid = users.parse_id(state.get_variable("UID") or "")
            gid = users.parse_id(state.get_variable("GID") or "")
            groups = _parse_ids(state.get_variable("GIDLIST") or "")
    if not rest:
        raise ProgramFails("no program is given")
    if groups is not None:
        groups = tuple(dict.fromkeys((state.process.egid if gid is None else gid, *groups)))
    process = users.change_ids(state.process, uid or None, gid or None, groups)
    environment = dict(state.environment)
    if any(name == "z" for name, _ in parsed):
        for name in ("UID", "GID", "GIDLIST"):
            environment.pop(name, None)
    return call.execute(rest, replace(state, process=process, environment=environment))


def _parse_ids(text: str) -> tuple[int, ...]:
    """Parses ids with commas between."""
    return tuple(users.parse_id(word) for word in text.split(",")) if text else ()


def follow_chpst(call: Call) -> Execution | None:
    """Follows chpst of runit, and the programs of daemontools that are links to it: chpst(8); src/chpst.c."""
    name = call.name.rpartition("/")[2]
    if name in ("setuidgid", "envuidgid", "envdir", "pgrphack", "setlock", "softlimit"):
        return _follow_link_to_chpst(call, name)
    parsed, rest = options.parse_options(call.argv[1:], "u:U:b:e:m:d:o:p:f:c:r:t:/:C:n:l:L:vP012V")
    state = call.state
    user_spec: str | None = None
    for option, value in parsed:
        if option == "V":
            return None
        if option == "e":
            raise NotFollowed(f"reads variables from {value}")
        if option == "u":
            user_spec = value
        elif option == "U":
            state = state.with_variables(UID=None, GID=None)
    if not rest:
        raise ProgramFails("no program is given")
    # chpst.c, main: chroot and chdir come before the change of the user.
    for option, value in parsed:
        if option == "/":
            state = replace(change_root(call, state, value), directory="/")
    for option, value in parsed:
        if option == "C":
            state = replace(state, directory=users.resolve_directory(state, value))
    if user_spec is not None:
        state = replace(state, process=_change_user(call, state.process, user_spec))
    if any(option == "b" for option, _ in parsed):
        raise NotFollowed("executes a program by another name")
    return call.execute(rest, state)


def _follow_link_to_chpst(call: Call, name: str) -> Execution | None:
    """Follows chpst under the name of a program of daemontools."""
    if name == "setuidgid":
        user = users.get_argument(call, 1)
        return call.execute(call.argv[2:], replace(call.state, process=_change_user(call, call.state.process, user)))
    if name == "envuidgid":
        users.get_argument(call, 1)
        return call.execute(call.argv[2:], call.state.with_variables(UID=None, GID=None))
    if name == "envdir":
        raise NotFollowed(f"reads variables from {users.get_argument(call, 1)}")
    if name == "pgrphack":
        return call.execute(call.argv[1:])
    if name == "setlock":
        _, rest = options.parse_options(call.argv[1:], "nNxX")
        return call.execute(rest[1:])
    _, rest = options.parse_options(call.argv[1:], "a:c:d:f:l:m:o:p:r:s:t:")
    return call.execute(rest)


def _change_user(call: Call, process: execve.Process, spec: str) -> execve.Process:
    """Returns the process after the change to USER[:GROUP[:GROUP...]] or :UID:GID[:GID...] (runit's uidgid.c)."""
    numeric = spec.startswith(":")
    names = spec.removeprefix(":").split(":")
    ids: list[int] = []
    for at, name in enumerate(names):
        if numeric:
            ids.append(users.parse_id(name))
        elif at:
            group = find_group(call, name)
            if group is None:
                raise ProgramFails(f'no such group: "{name}"')
            ids.append(group.gid)
    if numeric:
        uid, gids = ids[0], ids[1:]
        if not gids:
            raise ProgramFails("a uid without a gid")
    else:
        user = find_user(call, names[0])
        if user is None:
            raise ProgramFails(f'no such user: "{names[0]}"')
        uid, gids = user.uid, ids or [user.gid]
    process = credentials.setgroups(credentials.setgid(process, gids[0]), tuple(gids))
    return credentials.setuid(process, uid)
