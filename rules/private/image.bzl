"""The rule image."""

load("//rules:providers.bzl", "ImageIndexInfo", "ImageInfo", "LayerInfo", "PulledImageInfo")
load(":attributes.bzl", "IMAGE_FILE_ATTRS", "check_image_effect", "resolve_attributes")
load(":base.bzl", "base_image", "prepare_base")
load(":base_search.bzl", "search_base")
load(":checks.bzl", "CHECK_ATTRS", "check_programs")
load(":entries.bzl", "list_program")
load(":image_actions.bzl", "assemble_image", "write_layout")
load(":input_images.bzl", "ANY_IMAGE")
load(":layer_actions.bzl", "copy_lower_files", "pack_layer")
load(":layer_attributes.bzl", "LAYER_ATTRS", "find_path_fault", "list_file_capabilities")
load(":messages.bzl", "format_label", "format_problem")
load(":platform.bzl", "PLATFORM_ATTRS", "find_image_platform")
load(":request.bzl", "tool_attrs")
load(":runtime_settings.bzl", "SETTINGS_ATTRS", "write_runtime_settings")
load(":stamp.bzl", "stamp_attrs")

visibility(["//rules/...", "//tests/...", "//tools/..."])

def _image_impl(ctx):
    problems = []
    platform = find_image_platform(ctx)
    layers = _list_layers(ctx, problems)
    base = base_image(ctx, platform, problems)
    lower = struct(
        base = base,
        blobs = base.layers + [layer.info for layer in layers],
        contents = base.contents + [layer.metadata for layer in base.layers],
        layers = layers,
    )
    binary_path = _find_binary_path(ctx, problems)
    copies_files = ctx.attr.file_capabilities and (lower.blobs or base.layouts)
    repeats_directories = not binary_path and layers and (lower.contents or len(layers) > 1)
    check_image_effect(ctx, copies_files, repeats_directories, problems)

    # From here on, each action of the target reports the problems of all attributes, whichever fails first.
    attributes = _resolve_attributes(ctx, platform, binary_path, base, problems)

    own_layers = []
    unmatched_paths = ctx.actions.declare_file(ctx.label.name + ".unmatched_paths.json") if binary_path and copies_files else None
    if binary_path:
        info = _pack_binary(ctx, binary_path, lower, unmatched_paths, attributes.problems)
        own_layers.append(struct(attribute = "binary", info = info))
    elif repeats_directories:
        info = pack_layer(ctx, ctx.label.name + "_directories", problems_file = attributes.problems, lower = lower, sets_entries = False)
        own_layers.append(struct(attribute = "layers", info = info))
    found = None
    if copies_files:
        capabilities = list_file_capabilities(ctx, removable = True)
        if _can_search(ctx, lower, binary_path):
            found = search_base(ctx, ctx.label.name + ".found", base, platform, capabilities)

        # A layer of its own, so that another binary does not make Bazel read the base again.
        info = copy_lower_files(
            ctx,
            ctx.label.name + "_copied",
            attributes.problems,
            capabilities = capabilities,
            platform = platform,
            lower = lower,
            unmatched_paths = unmatched_paths,
            found = found.files if found else None,
        )
        own_layers.append(struct(attribute = "file_capabilities", info = info))

    new_layers = [layer.info for layer in layers + own_layers]
    all_layers = base.layers + new_layers
    assembled = assemble_image(ctx, attributes, new_layers, base, lower.contents)
    layout = write_layout(ctx, assembled, all_layers, base)
    sparse_layout = write_layout(ctx, assembled, all_layers, base, is_sparse = True) if base.blobs else None
    settings = write_runtime_settings(ctx, lower.contents + [layer.metadata for layer in new_layers], assembled.config)

    # Neither the files nor the runfiles have the layout or a blob, because Bazel builds both for `bazel build //...`.
    return [
        DefaultInfo(files = depset([assembled.manifest, assembled.config, assembled.descriptor])),
        OutputGroupInfo(
            config = [assembled.config],
            descriptor = [assembled.descriptor],
            layers = [layer.blob for layer in all_layers],
            manifest = [assembled.manifest],
            oci_layout = [layout],
            runtime_settings = settings,
            _validation = _check_programs(ctx, lower, own_layers, binary_path, found, assembled.config),
        ),
        ImageInfo(
            base_blobs = base.blobs,
            base_contents = base.contents,
            base_layout_files = base.layout_files,
            base_layouts = base.layouts,
            base_search = base.search,
            base_sources = base.sources,
            config = assembled.config,
            descriptor = assembled.descriptor,
            layers = all_layers,
            layout = layout,
            manifest = assembled.manifest,
            platform = platform,
            sparse_layout = sparse_layout,
        ),
    ]

def _list_layers(ctx, problems):
    """Returns label and info of each layer of the attribute layers; adds a problem for each target that is not a layer."""
    layers = []
    for target in ctx.attr.layers:
        if LayerInfo in target:
            layers.append(struct(attribute = "layers", info = target[LayerInfo], label = target.label))
            continue
        label = format_label(target.label)
        if ImageInfo in target or ImageIndexInfo in target or PulledImageInfo in target:
            problems.append(format_problem("layers", label, "is an image, not a layer; use it as base"))
        else:
            instead = "setcap(name = ..., tar = \"{}\") for a tar, or layer(name = ..., srcs = ...) for files, and give that"
            problems.append(format_problem("layers", label, "is not a layer; write " + instead.format(label)))
    return layers

def _find_binary_path(ctx, problems):
    """Returns the path of the binary in the image; None if there is no binary."""
    if not ctx.executable.binary:
        return None
    name = ctx.executable.binary.basename
    path = ctx.attr.binary_path or "/app/" + name
    fault = find_path_fault(path)
    if not fault and path.endswith("/"):
        fault = "must be the path of a file; write {}".format(json.encode(path + name))
    if fault:
        problems.append(format_problem("binary_path", path, fault))
        return "/app/" + name
    return path

def _resolve_attributes(ctx, platform, binary_path, base, problems):
    """Declares the action that checks the attributes of the image's config and manifest."""
    spec = {
        "annotate_capabilities": ctx.attr.annotate_capabilities,
        "annotations": ctx.attr.annotations,
        "cmd": ctx.attr.cmd or None,
        "created": ctx.attr.created,
        "entrypoint": ctx.attr.entrypoint or ([binary_path] if binary_path else None),
        "env": ctx.attr.env,
        "exposed_ports": ctx.attr.exposed_ports,
        "labels": ctx.attr.labels,
        "mtime": ctx.attr.mtime,
        "platform": platform,
        "stop_signal": ctx.attr.stop_signal,
        "user": ctx.attr.user,
        "volumes": ctx.attr.volumes,
        "working_dir": ctx.attr.working_dir,
    }
    return resolve_attributes(ctx, spec, base, problems)

def _pack_binary(ctx, path, lower, unmatched_paths, problems_file):
    """Declares the layer of the binary, its runfiles and its capabilities."""
    capabilities = list_file_capabilities(ctx, removable = bool(unmatched_paths))
    if ctx.attr.linux_capabilities:
        capabilities.append(struct(attribute = "linux_capabilities", path = path, capabilities = ctx.attr.linux_capabilities))
    capabilities_from = None
    if ctx.file.linux_capabilities_from:
        capabilities_from = struct(file = ctx.file.linux_capabilities_from, label = ctx.attr.linux_capabilities_from.label)
    return pack_layer(
        ctx,
        ctx.label.name + "_binary",
        problems_file = problems_file,
        entries = [list_program("binary", ctx.attr.binary, path, ctx.workspace_name)],
        capabilities = capabilities,
        lower = lower,
        program = path,
        capabilities_from = capabilities_from,
        unmatched_paths = unmatched_paths,
    )

def _can_search(ctx, lower, binary_path):
    """Returns whether layers of the base need not be fetched, because nothing but file_capabilities reads files of the base."""
    return lower.base.search and not lower.blobs and not binary_path and not ctx.attr.annotate_capabilities

def _check_programs(ctx, lower, own_layers, binary_path, found, config):
    """Declares the validation action of the image, and returns its outputs."""
    layers = [
        struct(
            attribute = layer.attribute,
            disabled_checks = getattr(layer.info, "disabled_checks", []),
            info = layer.info,
            is_checked = True,
        )
        for layer in lower.layers
    ] + [
        struct(attribute = layer.attribute, disabled_checks = [], info = layer.info, is_checked = False)
        for layer in own_layers
    ]
    program_attribute = "entrypoint" if ctx.attr.entrypoint else "cmd" if ctx.attr.cmd and not binary_path else None
    if lower.base.blobs and not layers and not program_attribute:
        return check_programs(ctx, [])  # There is no program to check, and the contents would fetch the layers of the base.

    # If the command is a program that has been found, the list of the files that have been read is enough.
    command = ctx.attr.entrypoint or ctx.attr.cmd
    is_found = found and (not program_attribute or command[0] in ctx.attr.file_capabilities)
    return check_programs(
        ctx,
        layers,
        base_contents = [found.contents] if is_found else lower.contents,
        config = config,
        binary = binary_path,
        program_attribute = program_attribute,
    )

image = rule(
    doc = """An OCI image.

`bazel build` writes the manifest, the config and the descriptor. The output group `oci_layout` is the whole image.

Output groups:

- `config`: the OCI image config.
- `descriptor`: the OCI descriptor of the manifest.
- `layers`: the layers that Bazel builds, the lowest first.
- `manifest`: the OCI image manifest.
- `oci_layout`: an OCI image layout: a directory that `crane push`, `skopeo copy oci:` and `podman run oci:` read. Its blobs are \
symbolic links to the layers; to copy the directory, use `cp -rL`.
- `runtime_settings`: the settings with which a container gets all capabilities of the image's files, and no others: flags of \
`docker run` and `podman run`, a Compose service, and a Kubernetes `securityContext`. The files of the base are included. The \
`securityContext` sets `allowPrivilegeEscalation: false` if the only file with capabilities is the program that the container \
executes first.
- `_validation`: the checks of programs, which Bazel also runs when it builds the image. `disabled_checks` lists them.""",
    implementation = _image_impl,
    attrs = CHECK_ATTRS | IMAGE_FILE_ATTRS | LAYER_ATTRS | PLATFORM_ATTRS | SETTINGS_ATTRS | stamp_attrs(
        "`annotations`, `created`, `env`, `labels`, the files beside them and `mtime`",
    ) | tool_attrs("copy", "oci") | {
        "annotate_capabilities": attr.bool(
            doc = """Whether to write the capabilities of all files into the manifest, so that an admission policy can read them without \
pulling a layer. The annotation `io.github.rules_setcap.capabilities` is set on the manifest, and on the descriptors of the \
layers that are built here.""",
        ),
        "annotations": attr.string_dict(
            doc = "Annotations of the manifest, for instance `{\"org.opencontainers.image.source\": \"https://example.com/app\"}`.",
        ),
        "base": attr.label(
            aspects = [prepare_base],
            doc = "The base image: " + ANY_IMAGE + ". The build verifies its manifest and config against their digests, and each layer that it reads.",
            allow_files = True,
        ),
        "binary": attr.label(
            doc = "The program. It is packed with its runfiles into a layer of its own, and is the default entrypoint.",
            allow_files = True,
            executable = True,
            cfg = "target",
        ),
        "binary_path": attr.string(
            doc = "The absolute path of the binary in the image, for instance `\"/usr/bin/server\"`. The default is `/app/` and the binary's name.",
        ),
        "cmd": attr.string_list(
            doc = "The default arguments of the entrypoint, for instance `[\"--port=80\"]`.",
        ),
        "created": attr.string(
            doc = """The time of creation: RFC 3339, or seconds since 1970, for instance `{BUILD_TIMESTAMP}` if `stamp` is set. The default \
is 1970, so that equal inputs give equal digests.""",
        ),
        "entrypoint": attr.string_list(
            doc = "The program that the container executes, and its first arguments. The default is the binary, or without one the entrypoint of the base.",
        ),
        "env": attr.string_dict(
            doc = """Environment variables. `$NAME` and `${NAME}` stand for the value that the base sets, and `$$` for a dollar sign.

```starlark
env = {"PATH": "/opt/app/bin:$PATH"},
```""",
        ),
        "exposed_ports": attr.string_list(
            doc = "The ports that the container listens on: `80`, `80/tcp` or `53/udp`.",
        ),
        "labels": attr.string_dict(
            doc = "Labels of the config, for instance `{\"maintainer\": \"team@example.com\"}`.",
        ),
        "layers": attr.label_list(
            doc = "Layers below that of the binary, the lowest first. Each is a `layer`, or a `setcap` for the tar of another rule.",
            allow_files = True,
        ),
        "linux_capabilities": attr.string_list(
            doc = """Capabilities of the binary: names (`net_bind_service` means permitted), or clauses of cap_from_text(3) such as \
`cap_bpf,cap_perfmon=+ep`. See [Capability text](../capability-text.md).""",
        ),
        "linux_capabilities_from": attr.label(
            doc = """A file with the capabilities of the binary, in place of `linux_capabilities`: a `ko_capabilities` target, or any JSON \
object with the keys `capabilities` (a list, in the format of `linux_capabilities`) and `source` (where they come from, for \
messages). Its [schema](schemas/linux-capabilities-from.schema.json) describes it.""",
            allow_single_file = [".json"],
        ),
        "replaces": attr.string_list(
            doc = """Absolute paths of entries in lower layers, or in the base, that an entry of another kind may replace, for instance a \
symbolic link by a file, or a directory by a link. By default, that is an error.""",
        ),
        "stop_signal": attr.string(
            doc = "The signal that stops the container, for instance `SIGINT`.",
        ),
        "user": attr.string(
            doc = """The user of the process: `uid`, `uid:gid`, or names, for instance `"65532"`. The default is the base's user, or root. \
File capabilities matter for users other than root.""",
        ),
        "volumes": attr.string_list(
            doc = "Absolute paths of volumes.",
        ),
        "working_dir": attr.string(
            doc = "The absolute path of the working directory. The default is the base's.",
        ),
    },
    provides = [ImageInfo],
)
