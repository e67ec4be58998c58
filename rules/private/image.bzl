"""The rule image."""

load("//rules:providers.bzl", "ImageIndexInfo", "ImageInfo", "LayerInfo")
load(":attributes.bzl", "IMAGE_FILE_ATTRS", "base_names", "check_image_effect", "resolve_attributes")
load(":base.bzl", "base_image", "prepare_base")
load(":checks.bzl", "CHECK_ATTRS", "LAYER_CHECKS", "check_programs")
load(":entries.bzl", "add_files", "add_runfiles", "placement")
load(":foreign.bzl", "ANY_IMAGE")
load(":messages.bzl", "label_text", "named", "problem")
load(":pack.bzl", "PACK_ATTRS", "add_changes", "add_mtime", "blob_outputs", "check_blob", "file_capabilities", "pack", "parse_mode", "parse_owner", "path_fault")
load(":packer.bzl", "packer_request", "run_packer")
load(":platform.bzl", "PLATFORM_ATTRS", "oci_platform", "platform_text")
load(":settings.bzl", "SETTINGS_ATTRS", "runtime_settings")
load(":stamp.bzl", "stamp_attrs")
load(":threads.bzl", "thread_count")

def _image_impl(ctx):
    problems = []
    platform = oci_platform(ctx, problems)
    lower = _layers(ctx, problems)
    base = base_image(ctx, platform_text(platform), problems)
    below = struct(
        base = base.contents + [each.metadata for each in base.layers],
        blobs = base.layers + [each.info for each in lower],
        layers = lower,
        layouts = base.layouts,
        layout_files = base.layout_files,
    )
    own = []
    copies = ctx.attr.file_capabilities and (below.blobs or below.layouts)
    path = None
    if ctx.executable.binary:
        path = "/app/" + ctx.executable.binary.basename
        fault = path_fault(ctx.attr.binary_path) if ctx.attr.binary_path else ""
        if not fault and ctx.attr.binary_path.endswith("/"):
            fault = "must be the path of a file; write {}".format(json.encode(ctx.attr.binary_path + ctx.executable.binary.basename))
        if fault:
            problems.append(problem("binary_path", ctx.attr.binary_path, fault))
        elif ctx.attr.binary_path:
            path = ctx.attr.binary_path
    elsewhere = ctx.actions.declare_file(ctx.label.name + ".elsewhere.json") if path and copies else None
    keeps_directories = not path and lower and (below.base or len(lower) > 1)
    check_image_effect(ctx, copies, keeps_directories, problems)
    if path or copies or keeps_directories:
        check_blob(ctx, problems)
    place = placement("binary", parse_owner(ctx.attr.owner, problems), parse_mode(ctx.attr.mode, problems)) if path else None
    attributes = _attributes(ctx, platform, path, base, problems)

    # Each of these reports the problems of all attributes, whichever fails first.
    if path:
        own.append(struct(attribute = "binary", info = _binary_layer(ctx, path, place, base, below, elsewhere, attributes.problems)))
    elif keeps_directories:
        own.append(struct(attribute = "layers", info = _directories_layer(ctx, below, attributes.problems)))
    if copies:
        own.append(struct(attribute = "file_capabilities", info = _copied_layer(ctx, platform, base, below, elsewhere, attributes.problems)))
    layers = [each.info for each in lower + own]

    manifest, config, descriptor = _assemble(ctx, attributes, layers, base, below)
    layout = _layout(ctx, manifest, config, descriptor, layers, base)
    blobs = [each.blob for each in base.layers + layers]

    # The layout links to the blobs: what runs with it needs them too.
    runfiles = ctx.runfiles([layout] + blobs, transitive_files = base.layout_files)
    return [
        DefaultInfo(files = depset([layout]), runfiles = runfiles),
        OutputGroupInfo(
            config = depset([config]),
            descriptor = depset([descriptor]),
            layers = depset(blobs),
            manifest = depset([manifest]),
            runtime_settings = depset(runtime_settings(ctx, below.base + [each.metadata for each in layers], config)),
            _validation = depset(_checks(ctx, below, own, path, config)),
        ),
        ImageInfo(
            base_contents = base.contents,
            base_layout_files = base.layout_files,
            base_layouts = base.layouts,
            config = config,
            descriptor = descriptor,
            layers = base.layers + layers,
            layout = layout,
            manifest = manifest,
            platform = platform_text(platform),
        ),
    ]

def _layers(ctx, problems):
    """Returns attribute, info and label of each target in layers; adds a problem for each that is not a layer."""
    for target in ctx.attr.layers:
        if ImageInfo in target or ImageIndexInfo in target:
            problems.append(problem("layers", label_text(target.label), "an image, not a layer; give it as base"))
        elif LayerInfo not in target:
            problems.append(problem("layers", label_text(target.label), "not a layer; write {}".format(
                "setcap(name = ..., tar = \"{}\") for a tar, or layer(name = ..., srcs = ...) for files, and give that".format(label_text(target.label)),
            )))
    return [
        struct(attribute = "layers", info = target[LayerInfo], label = target.label)
        for target in ctx.attr.layers
        if LayerInfo in target
    ]

def _checks(ctx, below, own, path, config):
    """Declares the validation action, and returns its outputs."""
    layers = [
        struct(attribute = each.attribute, info = each.info, disabled_checks = getattr(each.info, "disabled_checks", []) + LAYER_CHECKS)
        for each in below.layers
    ] + [struct(attribute = each.attribute, info = each.info, disabled_checks = []) for each in own]
    started = "entrypoint" if ctx.attr.entrypoint else "cmd" if ctx.attr.cmd and not path else None
    return check_programs(ctx, layers, below.base, config, path, started)

def _attributes(ctx, platform, path, base, problems):
    """Declares the action that checks the attributes of the image's config and manifest."""
    return resolve_attributes(ctx, platform | {
        "annotate_capabilities": ctx.attr.annotate_capabilities,
        "annotations": ctx.attr.annotations,
        "cmd": ctx.attr.cmd or None,
        "created": ctx.attr.created,
        "entrypoint": ctx.attr.entrypoint or ([path] if path else None),
        "env": ctx.attr.env,
        "exposed_ports": ctx.attr.exposed_ports,
        "labels": ctx.attr.labels,
        "mtime": ctx.attr.mtime,
        "stop_signal": ctx.attr.stop_signal,
        "user": ctx.attr.user,
        "volumes": ctx.attr.volumes,
        "working_dir": ctx.attr.working_dir,
    }, base, problems)

def _directories_layer(ctx, below, problems):
    """Declares the layer of an image without a binary that keeps directories as the layers below have them."""
    request = packer_request(ctx, "layer")
    request.add_all(ctx.attr.replaces, format_each = "--replaces=%s")
    return pack(ctx, ctx.label.name + "_directories", request, [], [], problems, below, changes = False)

def _copied_layer(ctx, platform, base, below, elsewhere, problems):
    """Declares the action that packs files of the layers below with other capabilities.

    It is a layer of its own, so that another binary does not make Bazel read the base again.
    """
    request = packer_request(ctx, "copy")
    info = blob_outputs(ctx, ctx.label.name + "_copied", request, file_capabilities(ctx, removable = True))
    stamp = add_mtime(ctx, request)
    add_changes(ctx, request)
    base_names(ctx, request, base)
    request.add(platform_text(platform), format = "--platform=%s")
    request.add_all(below.layouts, format_each = "--below-layout=%s", expand_directories = False)
    for each in below.blobs:
        request.add_joined([each.metadata, each.blob], join_with = "=", format_joined = "--below-blob=%s")
    inputs = [each.metadata for each in below.blobs] + [each.blob for each in below.blobs] + stamp
    if elsewhere:
        request.add(elsewhere, format = "--elsewhere=%s")
        inputs.append(elsewhere)
    run_packer(
        ctx,
        request,
        outputs = [info.blob, info.metadata],
        inputs = inputs,
        transitive_inputs = [below.layout_files],
        tools = ctx.files._libdeflate,
        threads = thread_count(ctx),
        mnemonic = "SetcapCopy",
        progress_message = "Setting capabilities of the base's files for %{label}",
        problems = problems,
    )
    return info

def _binary_layer(ctx, path, place, base, below, elsewhere, problems):
    """Declares the action that packs the binary, its runfiles and its capabilities."""
    entries = packer_request(ctx, "layer")
    base_names(ctx, entries, base)
    add_files(entries, [ctx.executable.binary], lambda _file: path, place)
    inputs = [depset([ctx.executable.binary])]
    inputs.extend(add_runfiles(entries, ctx.attr.binary, path, ctx.workspace_name, place))
    capabilities = file_capabilities(ctx, removable = bool(elsewhere))
    if ctx.attr.linux_capabilities:
        capabilities.append(struct(attribute = "linux_capabilities", path = path, capabilities = ctx.attr.linux_capabilities))
    if ctx.file.linux_capabilities_from:
        entries.add(ctx.file.linux_capabilities_from, format = "--capabilities-from=%s")
        named(entries, "linux_capabilities_from", ctx.attr.linux_capabilities_from.label, ctx.file.linux_capabilities_from)
        entries.add(json.encode(path), format = "--capabilities-to=%s")
        inputs.append(depset([ctx.file.linux_capabilities_from]))
    entries.add(path, format = "--program=%s")
    entries.add_all(ctx.attr.replaces, format_each = "--replaces=%s")
    return pack(ctx, ctx.label.name + "_binary", entries, inputs, capabilities, problems, below, elsewhere)

def _assemble(ctx, attributes, layers, base, below):
    """Declares the action that writes manifest, config and descriptor, from descriptors alone: no blob is read."""
    name = ctx.label.name
    manifest = ctx.actions.declare_file(name + ".manifest.json")
    config = ctx.actions.declare_file(name + ".config.json")
    descriptor = ctx.actions.declare_file(name + ".descriptor.json")
    args = packer_request(ctx, "image")
    args.add(attributes.spec, format = "--spec=%s")
    for flag, file in base.args:
        args.add_all([file], format_each = flag, expand_directories = False)
    if ctx.attr.base:
        args.add(label_text(ctx.attr.base.label), format = "--base-name=%s")
    base_names(ctx, args, base)
    args.add_all([each.metadata for each in layers], format_each = "--layer=%s")
    contents = below.base if ctx.attr.annotate_capabilities else []
    args.add_all(contents, format_each = "--base-contents=%s")
    args.add(manifest, format = "--manifest-output=%s")
    args.add(config, format = "--config-output=%s")
    args.add(descriptor, format = "--descriptor-output=%s")
    run_packer(
        ctx,
        args,
        inputs = [attributes.spec] + [each.metadata for each in layers] + contents,
        transitive_inputs = [base.files],
        outputs = [manifest, config, descriptor],
        mnemonic = "SetcapImage",
        progress_message = "Assembling image %{label}",
        problems = attributes.problems,
    )
    return manifest, config, descriptor

def _layout(ctx, manifest, config, descriptor, layers, base):
    """The OCI layout directory. Its blobs are links: nothing is copied."""
    layout = ctx.actions.declare_directory(ctx.label.name)
    layers = base.layers + layers
    args = packer_request(ctx, "layout")
    args.add(manifest, format = "--manifest=%s")
    args.add(config, format = "--config=%s")
    args.add(descriptor, format = "--descriptor=%s")
    for each in layers:
        args.add_joined([each.metadata, each.blob], join_with = "=", format_joined = "--layer=%s")
    args.add_all(base.layouts, format_each = "--base-layout=%s", expand_directories = False)
    args.add_all([layout], format_each = "--output=%s", expand_directories = False)
    run_packer(
        ctx,
        args,
        inputs = [manifest, config, descriptor] +
                 [each.metadata for each in layers] + [each.blob for each in layers],
        transitive_inputs = [base.layout_files],
        outputs = [layout],
        mnemonic = "SetcapLayout",
        progress_message = "Laying out image %{label}",
        # Links to this machine's outputs are of no use on another.
        execution_requirements = {"no-cache": "1", "no-remote": "1"},
    )
    return layout

image = rule(
    doc = """An OCI image around a binary.

`bazel build` gives an OCI image layout: a directory that `crane push`, `skopeo copy oci:` \
and `podman run oci:` take as it is. Its blobs are links to the layers; copy it with `cp -rL`.

The output group `runtime_settings` is what container runtimes must be told, no more and no less, so that the capabilities \
of the files in the image take effect, those of the base among them: flags of `docker run` and `podman run`, \
a Compose service, a Kubernetes `securityContext`. The latter has `allowPrivilegeEscalation: false` if the only file with \
capabilities is the program that the container executes first.""",
    implementation = _image_impl,
    attrs = CHECK_ATTRS | IMAGE_FILE_ATTRS | PACK_ATTRS | PLATFORM_ATTRS | SETTINGS_ATTRS | stamp_attrs(
        "`annotations`, `created`, `env`, `labels`, the files beside them and `mtime`",
    ) | {
        "annotate_capabilities": attr.bool(
            doc = """Whether the manifest says which paths have which capabilities, so that an admission policy need not pull a layer: \
the annotation `io.github.rules_setcap.capabilities` on the manifest and on the descriptors of the layers that are built here.""",
        ),
        "annotations": attr.string_dict(doc = "Annotations of the manifest."),
        "base": attr.label(
            aspects = [prepare_base],
            doc = "The base image: " + ANY_IMAGE + ". The manifest and the config are verified against their digests, the layers where they are read.",
            allow_files = True,
        ),
        "binary": attr.label(
            doc = "The program. It becomes a layer of its own, with its runfiles, and the entrypoint.",
            allow_files = True,
            executable = True,
            cfg = "target",
        ),
        "binary_path": attr.string(doc = "Where the binary is in the image; by default `/app/` and its name."),
        "cmd": attr.string_list(doc = "Default arguments of the entrypoint."),
        "created": attr.string(
            doc = "Time of creation: RFC 3339, or seconds since 1970, as `{BUILD_TIMESTAMP}` is with `stamp`. By default 1970, so that equal inputs give equal digests.",
        ),
        "entrypoint": attr.string_list(doc = "What the container runs; by default the binary."),
        "env": attr.string_dict(doc = "Environment. `$NAME` and `${NAME}` stand for the base's value, `$$` for a dollar sign."),
        "exposed_ports": attr.string_list(doc = "Ports: `80`, `80/tcp`, `53/udp`."),
        "labels": attr.string_dict(doc = "Labels of the config."),
        "layers": attr.label_list(
            doc = "Layers below the binary's, the lowest first: of `layer`, or of `setcap` for a tar of another rule.",
            allow_files = True,
        ),
        "linux_capabilities": attr.string_list(
            doc = """Capabilities of the binary: names (`net_bind_service`: permitted), or clauses \
of cap_from_text(3) (`cap_bpf,cap_perfmon=+ep`). See [what to write](capability-text.md).""",
        ),
        "linux_capabilities_from": attr.label(
            doc = """Capabilities of the binary from a file, in place of `linux_capabilities`: what `ko_capabilities` makes, or \
any JSON object with `capabilities`, a list as of `linux_capabilities`, and `source`, who says so, for messages.""",
            allow_single_file = [".json"],
        ),
        "replaces": attr.string_list(
            doc = """Paths of entries in lower layers, or in the base, that an entry of another kind may replace: a file in place of a \
symbolic link, a link in place of a directory. Without it, that is an error.""",
        ),
        "stop_signal": attr.string(doc = "The signal that stops the container."),
        "user": attr.string(doc = "Who the process is: `uid`, `uid:gid` or names. File capabilities matter to users other than root."),
        "volumes": attr.string_list(doc = "Paths of volumes."),
        "working_dir": attr.string(doc = "The working directory, absolute."),
    },
    provides = [ImageInfo],
)
