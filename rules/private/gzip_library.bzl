"""The library that compresses layers with compression = "gzip". A build without such layers does not fetch it."""

load(":python_tool.bzl", "PYTHON_3_14")

visibility(["//rules/...", "//tests/...", "//tools/..."])

_InterpreterZlibInfo = provider(
    doc = "The value of //rules:gzip_library for the zlib of the Python interpreter, which is not a file.",
    fields = [],
)

def _interpreter_zlib_impl(_ctx):
    return [_InterpreterZlibInfo()]

interpreter_zlib = rule(
    doc = "The zlib of the Python interpreter, as a value of //rules:gzip_library.",
    implementation = _interpreter_zlib_impl,
)

def _gzip_library_impl(ctx):
    library = ctx.attr.library
    if _InterpreterZlibInfo in library:
        return DefaultInfo()
    info = library[DefaultInfo]
    libraries = [
        file
        for file in depset(transitive = [info.files, info.default_runfiles.files]).to_list()
        if "deflate" in file.basename and (file.extension in ["dylib", "so"] or ".so." in file.basename)
    ]
    if len(libraries) != 1:
        fail("//rules:gzip_library: {} has {} shared libraries of libdeflate; give a target that has one, such as libdeflate.so or the package deflate of PyPI, or @rules_setcap//rules:zlib".format(
            library.label,
            len(libraries),
        ))
    return DefaultInfo(files = depset(libraries))

gzip_library = rule(
    doc = "The shared library of libdeflate, taken from the files of another target. It has no file if zlib is to be used.",
    implementation = _gzip_library_impl,
    attrs = {
        "library": attr.label(
            doc = "A target that has the shared library among its files or runfiles, or an interpreter_zlib.",
            allow_files = True,
            mandatory = True,
        ),
    },
    # PyPI has one package for each version of Python.
    cfg = PYTHON_3_14,
)

# Bazel calls it with the value of the attribute of the same name.
def _default_gzip_library(compression):
    return Label("//tools/rules_setcap/packer:gzip_library") if compression == "gzip" else None

GZIP_LIBRARY_ATTRS = {
    "_gzip_library": attr.label(
        allow_files = True,
        cfg = "exec",
        default = _default_gzip_library,
    ),
}
