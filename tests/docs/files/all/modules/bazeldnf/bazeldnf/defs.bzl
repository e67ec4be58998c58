"""A stand-in for xattrs of bazeldnf: five capabilities, always permitted and effective; other paths are ignored."""

def _xattrs_impl(ctx):
    ctx.actions.run(
        executable = "/usr/bin/python3",
        arguments = ["-c", _ENRICH, ctx.file.tar.path, ctx.outputs.out.path, json.encode(ctx.attr.capabilities)],
        inputs = [ctx.file.tar],
        outputs = [ctx.outputs.out],
    )
    return [DefaultInfo(files = depset([ctx.outputs.out]))]

_ENRICH = """
import json, struct, sys, tarfile
source, target, capabilities = sys.argv[1:]
numbers = {"cap_chown": 0, "cap_net_bind_service": 10, "cap_net_admin": 12, "cap_net_raw": 13, "cap_sys_ptrace": 19}
sets = {path.lstrip("/"): sum(1 << numbers[name] for name in names) for path, names in json.loads(capabilities).items()}
with tarfile.open(source) as before, tarfile.open(target, "w", format = tarfile.PAX_FORMAT) as after:
    for entry in before:
        if permitted := sets.get(entry.name.removeprefix("./").lstrip("/")):
            value = struct.pack("<5I", 0x02000001, permitted, 0, 0, 0)
            entry.pax_headers["SCHILY.xattr.security.capability"] = value.decode()
        after.addfile(entry, before.extractfile(entry) if entry.isreg() else None)
"""

_xattrs = rule(
    implementation = _xattrs_impl,
    attrs = {
        "capabilities": attr.string_list_dict(),
        "out": attr.output(mandatory = True),
        "tar": attr.label(allow_single_file = True),
    },
)

def xattrs(name, **kwargs):
    _xattrs(name = name, out = name + ".tar", **kwargs)
