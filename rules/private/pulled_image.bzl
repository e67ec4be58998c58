"""The target of an image in a registry. Its layers are fetched by actions, which run if something reads the layers."""

load("@bazel_skylib//rules:common_settings.bzl", "BuildSettingInfo")
load("//rules:providers.bzl", "ClientInfo", "PulledImageInfo")
load(":base_search.bzl", "FETCHING", "add_client")
load(":python_tool.bzl", "PythonToolInfo", "run_python_tool")
load(":request.bzl", "LOCAL_LINKS", "add_label", "run_request", "start_request", "tool_attrs")

# The BUILD files of the repositories load it.
visibility("public")

# The client runs on this machine, with the user's credentials and network, whatever platform a build is for. One
# configuration for all builds, so that none fetches a layer again.
def _for_fetching_impl(settings, _attr):
    return {
        "//command_line_option:compilation_mode": "fastbuild",
        "//command_line_option:platforms": str(settings["//command_line_option:host_platform"]),
    }

_for_fetching = transition(
    implementation = _for_fetching_impl,
    inputs = ["//command_line_option:host_platform"],
    outputs = [
        "//command_line_option:compilation_mode",
        "//command_line_option:platforms",
    ],
)

def _pulled_image_impl(ctx):
    documents = _copy_documents(ctx)
    blobs = {}
    images = []
    for number, text in enumerate(ctx.attr.images):
        image = json.decode(text)
        source = struct(
            client = ctx.file.client,
            client_info = ctx.attr._client[ClientInfo],
            digest = image["digest"],
            image = ctx.attr.image,
            insecure = ctx.attr.insecure,
            store = _find_store(ctx),
            tool = ctx.attr._search_tool[PythonToolInfo],
        )
        layers = []
        for layer in image["layers"]:
            digest = layer["digest"]
            if digest not in blobs:
                blobs[digest] = _fetch_layer(ctx, source, digest, layer["size"])
            layers.append(blobs[digest])
        images.append(struct(
            contents = _list_contents(ctx, documents, number, image, layers),
            digest = image["digest"],
            layers = layers,
            platform = image["platform"],
            search = source if ctx.attr._search_layers[BuildSettingInfo].value else None,
        ))
    layout = _link_layout(ctx, blobs.values())
    return [
        DefaultInfo(
            files = depset([documents]),
            runfiles = ctx.runfiles([layout] + blobs.values()),
        ),
        OutputGroupInfo(
            layers = depset(blobs.values()),
            oci_layout = depset([layout]),
        ),
        PulledImageInfo(
            documents = documents,
            image = ctx.attr.image,
            images = images,
            insecure = ctx.attr.insecure,
        ),
    ]

def _copy_documents(ctx):
    """Declares the action that copies the documents into an OCI layout directory, and verifies their digests."""

    # input_images.bzl knows it by its name.
    directory = ctx.actions.declare_directory(ctx.label.name + ".documents")
    request = start_request(ctx, "unpack")
    add_label(request, "image", ctx.label, ctx.file.index)
    request.add(ctx.file.index, format = "--archive=%s")
    request.add("image", format = "--attribute=%s")
    request.add_all([directory], format_each = "--output=%s", expand_directories = False)
    run_request(
        ctx,
        ctx.attr._oci_tool,
        request,
        outputs = [directory],
        inputs = [ctx.file.index] + ctx.files.documents,
        mnemonic = "SetcapDocuments",
        progress_message = "Checking the documents of %{label}",
    )
    return directory

def _find_store(ctx):
    """Returns the path of a directory beside the outputs, in which the actions that fetch layers keep them for each other."""
    return "/".join([part for part in [ctx.bin_dir.path, ctx.label.workspace_root, ctx.label.package, "fetched"] if part])

def _fetch_layer(ctx, source, digest, size):
    """Declares the action that fetches a layer."""
    blob = ctx.actions.declare_file("layers/" + digest.removeprefix("sha256:"))
    request = start_request(ctx, "fetch")
    tools = add_client(request, source)
    request.add(digest, format = "--digest=%s")
    request.add(size, format = "--size=%s")
    request.add(blob, format = "--output=%s")
    run_python_tool(
        ctx,
        ctx.attr._fetch_tool[PythonToolInfo],
        [request],
        outputs = [blob],
        inputs = [],
        mnemonic = "SetcapFetch",
        progress_message = "Fetching {} MB of {}".format((size + 999999) // 1000000, ctx.attr.image),
        tools = tools,
        execution_requirements = FETCHING,
    )
    return blob

def _list_contents(ctx, documents, number, image, layers):
    """Declares the action that lists the files of the image for a platform, once for all images above it."""

    # An index may have one manifest for several platforms.
    contents = ctx.actions.declare_file("contents/{}.{}.json".format(image["digest"].removeprefix("sha256:"), number))
    request = start_request(ctx, "contents")
    add_label(request, "base", ctx.label, documents)
    request.add_all([documents], format_each = "--layout=%s", expand_directories = False)
    request.add_all(layers, format_each = "--layer-blob=%s")
    request.add(image["platform"], format = "--platform=%s")
    request.add(contents, format = "--output=%s")
    run_request(
        ctx,
        ctx.attr._oci_tool,
        request,
        outputs = [contents],
        inputs = [documents] + layers,
        mnemonic = "SetcapContents",
        progress_message = "Listing the files of base %{label}",
    )
    return contents

def _link_layout(ctx, blobs):
    """Declares the action that makes a layout directory with all layers, for whatever reads a whole layout."""
    directory = ctx.actions.declare_directory(ctx.label.name + ".layout")
    request = start_request(ctx, "link")
    add_label(request, "image", ctx.label, ctx.file.index)
    request.add(ctx.file.index, format = "--index=%s")
    request.add_all(ctx.files.documents, format_each = "--file=%s")
    request.add_all(blobs, format_each = "--layer-blob=%s")
    request.add("image", format = "--attribute=%s")
    request.add_all([directory], format_each = "--output=%s", expand_directories = False)
    run_request(
        ctx,
        ctx.attr._oci_tool,
        request,
        outputs = [directory],
        inputs = [ctx.file.index] + ctx.files.documents + blobs,
        mnemonic = "SetcapLayout",
        progress_message = "Laying out image %{label}",
        execution_requirements = LOCAL_LINKS,
    )
    return directory

pulled_image = rule(
    doc = "An image in a registry, of which a repository has the documents.",
    implementation = _pulled_image_impl,
    attrs = tool_attrs("oci") | {
        "client": attr.label(
            allow_single_file = True,
            doc = "The path and the environment of the client: the file of client_repository.",
            mandatory = True,
        ),
        "documents": attr.label_list(
            allow_files = True,
            doc = "The manifests and the configs, as blobs of an OCI layout.",
        ),
        "image": attr.string(
            doc = "The repository in the registry.",
            mandatory = True,
        ),
        "images": attr.string_list(
            doc = "For each platform a JSON object: the digest of the manifest, the platform, and digest and size of each layer.",
        ),
        "index": attr.label(
            allow_single_file = True,
            doc = "The index.json of the OCI layout.",
            mandatory = True,
        ),
        "insecure": attr.bool(
            doc = "Whether to allow plain HTTP, and certificates that cannot be verified.",
        ),
        "_client": attr.label(
            default = "//rules/private:current_registry_client",
            providers = [ClientInfo],
        ),
        "_fetch_tool": attr.label(
            default = "//tools/rules_setcap/bases:fetch_tool",
            providers = [PythonToolInfo],
        ),
        "_search_layers": attr.label(
            default = "//rules:search_layers",
            providers = [BuildSettingInfo],
        ),
        "_search_tool": attr.label(
            default = "//tools/rules_setcap/bases:search_tool",
            providers = [PythonToolInfo],
        ),
    },
    cfg = _for_fetching,
    provides = [PulledImageInfo],
)
