"""The rule layer."""

load("//rules:providers.bzl", "LayerInfo")
load(":attributes.bzl", "check_effect")
load(":checks.bzl", "CHECK_ATTRS", "make_layer_providers")
load(":entries.bzl", "EntriesInfo", "list_files", "list_program", "write_line")
load(":layer_actions.bzl", "pack_layer")
load(":layer_attributes.bzl", "LAYER_ATTRS", "find_path_fault", "list_file_capabilities")
load(":messages.bzl", "format_label", "format_problem")
load(":stamp.bzl", "find_placeholders", "stamp_attrs")

visibility(["//rules/...", "//tests/...", "//tools/..."])

def _layer_impl(ctx):
    problems = []
    if not ctx.attr.srcs:
        check_effect(ctx, ["hard_link_duplicates", "mode"], "the layer has no srcs", problems)
    if ctx.attr.stamp and not find_placeholders(ctx.attr.mtime):
        problems.append(format_problem("stamp", True, "has no effect: there is no placeholder in mtime; write mtime = \"{BUILD_TIMESTAMP}\", or leave stamp out"))
    entries = _list_srcs(ctx, problems)
    if ctx.attr.symlinks:
        entries.append(_list_symlinks(ctx))
    if ctx.attr.directories:
        entries.append(_list_directories(ctx))
    info = pack_layer(ctx, ctx.label.name, problems, entries = entries, capabilities = list_file_capabilities(ctx))
    return make_layer_providers(ctx, info, is_checked = bool(ctx.attr.file_capabilities or ctx.attr.disabled_checks))

def _list_srcs(ctx, problems):
    """Returns the entries of the attribute srcs, a list of EntriesInfo; adds problems."""
    entries = []
    for path, target in ctx.attr.srcs.items():
        files = target[DefaultInfo].files
        program = target[DefaultInfo].files_to_run.executable
        fault = find_path_fault(path)
        if fault:
            problems.append(format_problem("srcs", path, fault))
            continue
        if path.endswith("/"):
            entries.append(list_files("srcs", files, _path_inside(path)))
            continue

        # The path is that of one file, so there are few.
        names = files.to_list()
        if program and program in names and not program.is_source:
            entries.append(list_program("srcs", target, path, ctx.workspace_name))
        elif len(names) == 1:
            entries.append(list_files("srcs", files, _path_itself(path)))
        else:
            problems.append(format_problem("srcs", path, "{} has {} files; end the path with \"/\" to put them into that directory".format(
                format_label(target.label),
                len(names),
            )))
    return entries

# A closure in the loop of _list_srcs() would see the last path only.
def _path_itself(path):
    return lambda _file: path

def _path_inside(directory):
    return lambda file: directory + file.basename

def _list_symlinks(ctx):
    """Returns the entries of the attribute symlinks."""
    lines = [write_line("symlinks", path, type = "symlink", target = target) for path, target in ctx.attr.symlinks.items()]
    return EntriesInfo(inputs = depset(), items = lines, map_each = None)

def _list_directories(ctx):
    """Returns the entries of the attribute directories."""
    lines = [write_line("directories", path, type = "directory") for path in ctx.attr.directories]
    return EntriesInfo(inputs = depset(), items = lines, map_each = None)

layer = rule(
    doc = """A layer of files, some of which may have capabilities.

`bazel build` writes the layer as a (compressed) tar.

Output groups:

- `metadata`: the digests of the layer and the capabilities of its files, as JSON ([schema](schemas/layer-metadata.schema.json)).
- `_validation`: the checks of programs, which Bazel also runs when it builds the layer. `disabled_checks` lists them.""",
    implementation = _layer_impl,
    attrs = CHECK_ATTRS | LAYER_ATTRS | stamp_attrs("`mtime`") | {
        "directories": attr.string_list(
            doc = "Absolute paths of directories, for instance `[\"/var/lib/app\"]`. The parent directories of entries need not be listed.",
        ),
        "srcs": attr.string_keyed_label_dict(
            doc = """The files of the layer. Keys are absolute paths in the image, values are targets.

- A path that ends with `/` is a directory. All files of the target are put into it under their own names.
- Any other path is that of one file. A program is packed with its runfiles, and a tree artifact with everything in it.

From a `pkg_files` target (rules_pkg), only the files are read. To keep its names and modes, use `pkg_tar` and `setcap`.

```starlark
srcs = {
    "/etc/app.conf": "app.conf",
    "/usr/bin/": "//tools:binaries",
},
```""",
            allow_files = True,
        ),
        "symlinks": attr.string_dict(
            doc = "Symbolic links. Keys are absolute paths in the image, values are the links' targets, for instance `{\"/bin/sh\": \"busybox\"}`.",
        ),
    },
    provides = [LayerInfo],
)
