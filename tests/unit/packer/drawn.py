"""Hypothesis strategies for random layers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from samples import ELF, Assignment, Change, Filling, RequestedEntry, Sample

from rules_setcap.capabilities.names import NAMES

SETTINGS = settings(deadline=None, suppress_health_check=list(HealthCheck))
"""The settings of tests that draw layers, which take long and may be large."""

# Any text that a path may have, with long components and other scripts.
TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="/\0"), min_size=1, max_size=12)
_SPECIAL = ["x" * 99, "y" * 101, "z" * 200, "日本語" * 20, "with space", "new\nline", "-", "=", "é"]
# Likely to be drawn together; some sort between "a" and "a/".
_COMMON = ["a", "b", "usr", "a-", "usr.d"]
PARTS = st.one_of(TEXT, st.sampled_from([*_COMMON, *_SPECIAL]), st.sampled_from(_COMMON)).filter(
    lambda part: part not in (".", "..") and len(part.encode()) < 256
)
_LONG_PARTS = st.sampled_from(["l" * 255, "ü" * 127, "long part " * 20])
PATHS = st.one_of(
    *[st.lists(PARTS, min_size=1, max_size=5)] * 2,
    # Up to what a system call takes: 4095 bytes.
    st.tuples(st.lists(_LONG_PARTS, min_size=1, max_size=15), PARTS).map(lambda parts: [*parts[0], parts[1]]),
).map(lambda parts: "/" + "/".join(parts))
_ENDLESS = st.sampled_from(["x" * 256, "y" * 5000, "ü" * 40000])
ENDLESS_PATHS = st.one_of(*[PATHS] * 4, st.tuples(PATHS, _ENDLESS).map("".join))
"""Paths, some of which are longer than any program could unpack."""

_NUMBERS = st.sampled_from([0, 1, 1000, 65532, (1 << 21) - 1, 1 << 21, 1 << 31, (1 << 32) - 2])
_MTIMES = st.sampled_from([0, 0, 1, 1700000000])
_MODES = st.one_of(st.sampled_from([0o755, 0o644, 0o4711, 0]), st.integers(0, 0o7777))

# About the end of a block: 512 bytes in tar, 1 MiB in the blob, 2 MiB in zstd.
_SMALL = st.sampled_from([511, 512, 513, 1024])
_LARGE = st.sampled_from([(1 << 20) - 1024, (1 << 20) - 511, 1 << 20, (2 << 20) - 512, (3 << 20) + 1])
_CONTENTS = {
    "program": st.binary(max_size=1100).map(lambda data: ELF + data),
    "bytes": st.binary(max_size=1100),
    "nothing": st.none(),
    "small": st.builds(Filling, _SMALL, st.just(1)),
    "large": st.builds(Filling, _LARGE, st.integers(0, 2)),
}
_SHARES = {"program": 20, "bytes": 10, "nothing": 3, "small": 3, "large": 1}
_CONTENT = st.sampled_from([kind for kind, share in _SHARES.items() for _ in range(share)]).flatmap(_CONTENTS.get)

XATTR_NAMESPACES = st.sampled_from(["user", "trusted", "security"])
_PRINTABLE = st.characters(min_codepoint=32, max_codepoint=126, exclude_characters="=")
_LAST_NAMES = st.text(_PRINTABLE, min_size=1, max_size=20).filter(lambda text: text.strip("."))
_XATTR_NAMES = st.tuples(XATTR_NAMESPACES, _LAST_NAMES).map(".".join)
_ANY_BYTES = st.one_of(st.binary(max_size=300), st.sampled_from([bytes(range(256)), b"\n" * 90]))
_XATTR_VALUES = st.one_of(
    st.tuples(st.sampled_from(["0x", "0X", "0s", "0S"]), _ANY_BYTES),
    st.tuples(st.just(""), TEXT.filter(lambda text: text[:2] not in ("0x", "0X", "0s", "0S")).map(str.encode)),
)

# Capabilities whose attribute has a byte above 0x7f.
_HIGH = st.sampled_from(["cap_setuid", "cap_ipc_owner", "cap_sys_nice", "cap_setfcap", "cap_bpf"])
_LISTS = st.lists(st.one_of(_HIGH, st.sampled_from(NAMES)), min_size=1, max_size=6, unique=True).map(",".join)
_ACTIONS = st.sampled_from(["=p", "=ep", "=i", "=ei", "=ip", "=eip", "+ep", "=+ei", "=p+i"])
ASSIGNMENTS = st.one_of(
    _LISTS.map(lambda names: Assignment(tuple(names.replace("cap_", "").split(",")), names + "=p")),
    _LISTS.map(lambda names: Assignment((names.upper(),), names + "=p")),
    st.tuples(_LISTS, _ACTIONS).map("".join).map(lambda text: Assignment((text,), text)),
    st.tuples(_LISTS, _LISTS).map(lambda names: Assignment((names[0], f"{names[1]}+i"), f"{names[0]}=p {names[1]}+i")),
    st.just(Assignment(("=",), "=")),
)


@st.composite
def samples(
    draw: st.DrawFn,
    *,
    paths: st.SearchStrategy[str] = PATHS,
    modes: st.SearchStrategy[int] = _MODES,
    mtimes: st.SearchStrategy[int] = _MTIMES,
    xattr_names: st.SearchStrategy[str] = _XATTR_NAMES,
    xattrs_of: Sequence[str] = ("file", "directory", "symlink"),
) -> Sample:
    """Draws valid requests for layers.

    Args:
      draw: from hypothesis.
      paths: absolute paths.
      modes: permissions.
      mtimes: modification times of all entries, in seconds since 1970.
      xattr_names: names of extended attributes.
      xattrs_of: the kinds of entries that have extended attributes.
    """
    requested: dict[str, RequestedEntry] = {}
    for path in draw(st.lists(paths, max_size=8)):
        if fits(path, requested):
            requested[path] = draw(_entries(paths, modes))
    changes = {}
    for path, entry in requested.items():
        if draw(st.integers(0, 2)) == 0:
            changes[path] = Change(
                mode=draw(st.one_of(st.none(), modes)) if entry.kind != "symlink" else None,
                owner=draw(st.one_of(st.none(), st.tuples(_NUMBERS, _NUMBERS))),
                xattrs=draw(st.dictionaries(xattr_names, _XATTR_VALUES, max_size=3 if entry.kind in xattrs_of else 0)),
            )
    files = [path for path, entry in requested.items() if entry.kind == "file"]
    assignments = {path: draw(ASSIGNMENTS) for path in files if _is_program(path, requested, changes) and draw(st.integers(0, 2))}
    for twin in draw(st.lists(paths, max_size=2)) if files else ():
        if fits(twin, requested):
            path = draw(st.sampled_from(files))
            for part in (requested, changes, assignments):
                if path in part and (part is not assignments or draw(st.booleans())):
                    part[twin] = part[path]
            files.append(twin)
    for link in draw(st.lists(paths, max_size=3)) if files else ():
        if fits(link, requested):
            target = draw(st.sampled_from(files))
            # Mode and owner of a hard link have no effect.
            requested[link] = RequestedEntry(
                "hardlink", target=target, mode=draw(st.one_of(st.none(), modes)), uid=draw(_NUMBERS)
            )
            if target in assignments and draw(st.booleans()):
                assignments[link] = assignments.pop(target)
    return Sample(
        requested=dict(draw(st.permutations(list(requested.items())))),
        changes=changes,
        assignments=assignments,
        mtime=draw(mtimes),
        parents=draw(st.sampled_from(["all", "all", "none"])),
        hard_link_duplicates=draw(st.booleans()),
        compression=draw(st.sampled_from(["none", "gzip", "zlib", "zstd"])),
        threads=draw(st.sampled_from([1, 2, 3])),
    )


@st.composite
def _entries(draw: st.DrawFn, paths: st.SearchStrategy[str], modes: st.SearchStrategy[int]) -> RequestedEntry:
    """Draws an entry that is not a hard link."""
    kind = draw(st.sampled_from(["file", "file", "file", "directory", "symlink"]))
    owner = {"uid": draw(_NUMBERS), "gid": draw(_NUMBERS)}
    if kind == "symlink":
        targets = st.one_of(PARTS, paths).filter(lambda text: len(text.encode()) < 4096)
        return RequestedEntry(kind, target=draw(targets), **owner)
    content = draw(_CONTENT) if kind == "file" else None
    return RequestedEntry(kind, content=content, mode=draw(st.one_of(st.none(), modes)), **owner)


def _is_program(path: str, requested: Mapping[str, RequestedEntry], changes: Mapping[str, Change]) -> bool:
    """Returns whether a file may have capabilities: an ELF file with an execute bit."""
    changed = changes.get(path, Change()).mode
    mode = requested[path].mode if changed is None else changed
    return requested[path].make_data().startswith(ELF) and (mode is None or mode & 0o111 != 0)


def fits(path: str, requested: Mapping[str, RequestedEntry]) -> bool:
    """Returns whether an entry of any kind can have a path, besides other entries."""
    parents = [path[:at] for at in range(1, len(path)) if path[at] == "/"]
    return (
        path not in requested
        and not any(other.startswith(path + "/") for other in requested)
        and all(requested[name].kind == "directory" for name in parents if name in requested)
    )


ANY = samples(paths=ENDLESS_PATHS, mtimes=st.sampled_from([0, 0, 1, 1700000000, 1 << 33, -1]))
"""Requests for any layer that the packer accepts."""
