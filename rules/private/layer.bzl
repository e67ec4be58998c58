"""The rule layer."""

load("//rules:providers.bzl", "LayerInfo")
load(":attributes.bzl", "check_effect")
load(":checks.bzl", "CHECK_ATTRS", "check_programs")
load(":entries.bzl", "add_files", "add_runfiles", "placement")
load(":messages.bzl", "label_text", "problem")
load(":pack.bzl", "PACK_ATTRS", "check_blob", "file_capabilities", "pack", "parse_mode", "parse_owner", "path_fault")
load(":packer.bzl", "packer_request")
load(":stamp.bzl", "placeholders", "stamp_attrs")

def _layer_impl(ctx):
    problems = []
    owner = parse_owner(ctx.attr.owner, problems)
    srcs = placement("srcs", owner, parse_mode(ctx.attr.mode, problems))
    check_blob(ctx, problems)
    if not ctx.attr.srcs:
        check_effect(ctx, problems, "the layer has no srcs", ["hard_link_duplicates", "mode"])
    if ctx.attr.stamp and not placeholders(ctx.attr.mtime):
        problems.append(problem("stamp", True, "has no effect: there is no placeholder in mtime; write mtime = \"{BUILD_TIMESTAMP}\", or leave stamp out"))
    entries = packer_request(ctx, "layer")
    inputs = []

    for path, target in ctx.attr.srcs.items():
        files = target[DefaultInfo].files
        program = target[DefaultInfo].files_to_run.executable
        fault = path_fault(path)
        if fault:
            problems.append(problem("srcs", path, fault))
        elif path.endswith("/"):
            add_files(entries, files, _inside(path), srcs)
            inputs.append(files)
        elif program and program in files.to_list() and not program.is_source:
            add_files(entries, [program], _exactly(path), srcs)
            inputs.append(depset([program]))
            inputs.extend(add_runfiles(entries, target, path, ctx.workspace_name, srcs))
        elif len(files.to_list()) == 1:
            add_files(entries, files, _exactly(path), srcs)
            inputs.append(files)
        else:
            problems.append(problem("srcs", path, "{} has {} files; end the path with \"/\" to put them into that directory".format(
                label_text(target.label),
                len(files.to_list()),
            )))

    plain = placement("symlinks", owner)
    entries.add_all([
        plain.line(path, type = "symlink", target = to)
        for path, to in ctx.attr.symlinks.items()
    ])
    directories = placement("directories", owner)
    entries.add_all([directories.line(path, type = "directory") for path in ctx.attr.directories])

    info = pack(ctx, ctx.label.name, entries, inputs, file_capabilities(ctx), problems)
    info = LayerInfo(blob = info.blob, disabled_checks = ctx.attr.disabled_checks, metadata = info.metadata)
    checked = []
    if ctx.attr.file_capabilities or ctx.attr.disabled_checks:
        checked = check_programs(ctx, [struct(attribute = "file_capabilities", info = info, disabled_checks = [])])
    return [
        DefaultInfo(files = depset([info.blob])),
        OutputGroupInfo(
            metadata = depset([info.metadata]),
            _validation = depset(checked),
        ),
        info,
    ]

def _exactly(path):
    return lambda _file: path

def _inside(directory):
    return lambda file: directory + file.basename

layer = rule(
    doc = """A layer of files, some of them with capabilities.

`bazel build` gives the layer as a (compressed) tar; the output group `metadata` \
its digests and the capabilities that it carries.""",
    implementation = _layer_impl,
    attrs = CHECK_ATTRS | PACK_ATTRS | stamp_attrs("`mtime`") | {
        "directories": attr.string_list(
            doc = "Directories, absolute. Parents of entries need not be named.",
        ),
        "srcs": attr.string_keyed_label_dict(
            doc = """Absolute path in the image -> target. A program at a path of its own brings its runfiles along, \
a tree artifact all that it holds. A path that ends with `/` is a directory, and takes the files of the target \
by their names. Of rules_pkg's `pkg_files` it takes only the files; for their names and modes, use `pkg_tar` and `setcap`.""",
            allow_files = True,
        ),
        "symlinks": attr.string_dict(
            doc = "Absolute path in the image -> what the symbolic link says.",
        ),
    },
    provides = [LayerInfo],
)
