"""The library that compresses layers with compression = "gzip". A build without such layers does not fetch it."""

load(":messages.bzl", "format_label")
load(":python_tool.bzl", "PYTHON_3_14")

visibility(["//rules/...", "//tests/...", "//tools/..."])

# The number of file names that a message lists.
_NAMES_SHOWN = 5

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

def _describe(files, libraries):
    """Returns what is wrong with the files of a target that does not have one shared library."""
    if libraries:
        return "{} shared libraries of libdeflate: {}".format(len(libraries), ", ".join([file.basename for file in libraries]))
    if not files:
        return "no file"
    names = [file.basename for file in files[:_NAMES_SHOWN]] + (["..."] if len(files) > _NAMES_SHOWN else [])
    return "no shared library with a name of libdeflate, only " + ", ".join(names)

def _gzip_library_impl(ctx):
    library = ctx.attr.library
    if _InterpreterZlibInfo in library:
        return DefaultInfo()
    info = library[DefaultInfo]
    files = depset(transitive = [info.files, info.default_runfiles.files]).to_list()
    libraries = [
        file
        for file in files
        if "deflate" in file.basename and (file.extension in ["dylib", "so"] or ".so." in file.basename)
    ]
    if len(libraries) != 1:
        fail('--@rules_setcap//rules:gzip_library: "{}": has {}; give a target with one shared library of libdeflate, named as libdeflate.so or libdeflate.so.0, or @rules_setcap//rules:zlib'.format(
            format_label(library.label),
            _describe(files, libraries),
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
