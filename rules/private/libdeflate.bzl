"""libdeflate, for layers that ask for it: a build that has none loads none."""

load(":packer.bzl", "PYTHON_3_14")

def _shared_library_impl(ctx):
    info = ctx.attr.library[DefaultInfo]
    found = [
        file
        for file in depset(transitive = [info.files, info.default_runfiles.files]).to_list()
        if "deflate" in file.basename and (file.extension in ["dylib", "so"] or ".so." in file.basename)
    ]
    if len(found) != 1:
        fail("{} has {} shared libraries of libdeflate; name a target that has one, as libdeflate.so or PyPI's deflate".format(
            ctx.attr.library.label,
            len(found),
        ))
    return DefaultInfo(files = depset(found))

shared_library = rule(
    doc = "libdeflate's shared library, out of whatever has it.",
    implementation = _shared_library_impl,
    attrs = {"library": attr.label(allow_files = True, mandatory = True)},
    # PyPI has it by version.
    cfg = PYTHON_3_14,
)

def _libdeflate_for(compression):
    return Label("//tools/rules_setcap/packer:libdeflate") if compression == "libdeflate" else None

LIBDEFLATE_ATTRS = {
    "_libdeflate": attr.label(
        allow_files = True,
        cfg = "exec",
        default = _libdeflate_for,
    ),
}
