"""The messages of Bazel's compact execution log, as far as a comparison needs them.

Bazel's src/main/protobuf/spawn.proto defines the format. This module declares the fields that it reads, with their numbers.
The protobuf library skips all others.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

if TYPE_CHECKING:
    from typing import Any

_PACKAGE = "rules_setcap.reproduce"
_Type = descriptor_pb2.FieldDescriptorProto


class _Field(NamedTuple):
    """A field of a message.

    Attributes:
      number: its number in spawn.proto.
      type: "bool", "string" or "uint32", or the name of a message.
      repeated: whether it has any number of values.
    """

    number: int
    type: str
    repeated: bool = False


_MESSAGES: dict[str, dict[str, _Field]] = {
    "Digest": {"hash": _Field(1, "string")},
    "EnvironmentVariable": {"name": _Field(1, "string"), "value": _Field(2, "string")},
    "File": {"path": _Field(1, "string"), "digest": _Field(2, "Digest")},
    "Directory": {"path": _Field(1, "string"), "files": _Field(2, "File", repeated=True)},
    "UnresolvedSymlink": {"path": _Field(1, "string"), "target_path": _Field(2, "string")},
    "InputSet": {
        "input_ids": _Field(5, "uint32", repeated=True),
        "transitive_set_ids": _Field(4, "uint32", repeated=True),
    },
    # An entry of the map `direct_entries`: protobuf encodes a map as repeated messages of key and value.
    "SymlinkEntry": {"path": _Field(1, "string"), "target_id": _Field(2, "uint32")},
    "SymlinkEntrySet": {
        "direct_entries": _Field(1, "SymlinkEntry", repeated=True),
        "transitive_set_ids": _Field(2, "uint32", repeated=True),
    },
    "RunfilesTree": {
        "input_set_id": _Field(2, "uint32"),
        "symlinks_id": _Field(3, "uint32"),
        "root_symlinks_id": _Field(4, "uint32"),
    },
    "Output": {"output_id": _Field(5, "uint32")},
    "Spawn": {
        "args": _Field(1, "string", repeated=True),
        "env_vars": _Field(2, "EnvironmentVariable", repeated=True),
        "input_set_id": _Field(4, "uint32"),
        "outputs": _Field(6, "Output", repeated=True),
        "target_label": _Field(7, "string"),
        "mnemonic": _Field(8, "string"),
        "runner": _Field(11, "string"),
        "cache_hit": _Field(12, "bool"),
    },
    "SymlinkAction": {
        "input_path": _Field(1, "string"),
        "output_path": _Field(2, "string"),
        "target_label": _Field(3, "string"),
        "mnemonic": _Field(4, "string"),
    },
    "ExecLogEntry": {
        "id": _Field(1, "uint32"),
        "file": _Field(3, "File"),
        "directory": _Field(4, "Directory"),
        "unresolved_symlink": _Field(5, "UnresolvedSymlink"),
        "input_set": _Field(6, "InputSet"),
        "spawn": _Field(7, "Spawn"),
        "symlink_action": _Field(8, "SymlinkAction"),
        "symlink_entry_set": _Field(9, "SymlinkEntrySet"),
        "runfiles_tree": _Field(10, "RunfilesTree"),
    },
}
_SCALARS = {"bool": _Type.TYPE_BOOL, "string": _Type.TYPE_STRING, "uint32": _Type.TYPE_UINT32}


def _make_entry_class() -> Any:
    """Returns the class of the messages of which a log consists."""
    file = descriptor_pb2.FileDescriptorProto(name=_PACKAGE.replace(".", "/") + "/log.proto", package=_PACKAGE, syntax="proto3")
    for name, fields in _MESSAGES.items():
        message = file.message_type.add(name=name)
        for field_name, field in fields.items():
            declared = message.field.add(
                name=field_name,
                number=field.number,
                label=_Type.LABEL_REPEATED if field.repeated else _Type.LABEL_OPTIONAL,
            )
            if field.type in _SCALARS:
                declared.type = _SCALARS[field.type]
            else:
                declared.type = _Type.TYPE_MESSAGE
                declared.type_name = f".{_PACKAGE}.{field.type}"
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{_PACKAGE}.ExecLogEntry"))


ExecLogEntry = _make_entry_class()
"""The class of an entry; `ExecLogEntry.FromString(data)` parses one."""
