"""libdeflate, for layers with compression = "libdeflate". A build without such layers does not fetch the library."""

load(":python_tool.bzl", "PYTHON_3_14")

visibility(["//rules/...", "//tests/...", "//tools/..."])

def _shared_library_impl(ctx):
    info = ctx.attr.library[DefaultInfo]
    libraries = [
        file
        for file in depset(transitive = [info.files, info.default_runfiles.files]).to_list()
        if "deflate" in file.basename and (file.extension in ["dylib", "so"] or ".so." in file.basename)
    ]
    if len(libraries) != 1:
        fail("{} has {} shared libraries of libdeflate; give a target that has one, such as libdeflate.so or the package deflate of PyPI".format(
            ctx.attr.library.label,
            len(libraries),
        ))
    return DefaultInfo(files = depset(libraries))

shared_library = rule(
    doc = "The shared library of libdeflate, taken from the files of another target.",
    implementation = _shared_library_impl,
    attrs = {
        "library": attr.label(
            doc = "A target that has the shared library among its files or runfiles.",
            allow_files = True,
            mandatory = True,
        ),
    },
    # PyPI has one package for each version of Python.
    cfg = PYTHON_3_14,
)

# Bazel calls it with the value of the attribute of the same name.
def _default_libdeflate(compression):
    return Label("//tools/rules_setcap/packer:libdeflate") if compression == "libdeflate" else None

LIBDEFLATE_ATTRS = {
    "_libdeflate": attr.label(
        allow_files = True,
        cfg = "exec",
        default = _default_libdeflate,
    ),
}
