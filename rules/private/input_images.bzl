"""Images as attributes take them: those of these rules, and those of other rulesets.

An image of another ruleset is an OCI layout directory (a tree artifact, a directory in the source tree, or all its
files), an image archive, or a target with the output group `oci_layout`.
"""

load("//rules:providers.bzl", "ImageIndexInfo", "ImageInfo", "LayerInfo")
load(":messages.bzl", "format_label", "format_problem")
load(":request.bzl", "LOCAL_LINKS", "add_label", "run_request", "start_request")

visibility(["//rules/...", "//tests/...", "//tools/..."])

# The documentation of attributes that take any image.
ANY_IMAGE = """an `image`, an `image_index`, or an image of another ruleset. That is an OCI layout directory (`oci_image`, \
`oci_pull`, `crane pull --format=oci`, `skopeo copy ... oci:`), a `filegroup` of the files of a checked-in one, a target with the \
output group `oci_layout`, or an image archive (`docker save`, `podman save`, `crane pull`, `skopeo copy`, ko, Nix and others)"""

# How the names of default outputs end, which a filegroup has: of an image or an index of these rules, and of an image in a registry.
_DOCUMENTS = (".manifest.json", ".config.json", ".index.json", ".descriptor.json")
_DIRECTORIES = (".documents",)

_DOCUMENTS_ALONE = """has the documents of an image without its layers; give the image itself, or a filegroup with \
output_group = "oci_layout\""""

def find_image(attribute, target, problems):
    """Finds the image among the files of a target.

    Args:
      attribute: str, the attribute that names the target.
      target: Target.
      problems: list of str, to which problems are added.

    Returns:
      struct of
        built: list of ImageInfo, the images of these rules: one, or those of an index; [] for images of other rulesets.
        descriptor: File, the descriptor of an image or index of these rules; None otherwise.
        file: File: an OCI layout directory if `is_layout`; otherwise the index.json of one, an archive, or a directory in
          the source tree. None if there is a problem.
        files: depset of File, the inputs of an action that reads the image by the flags of add_image_files(). The blobs of
          a layout may be links to others.
        index: File, the index of these rules; None for all other images.
        is_layout: bool.
        label: Label of the target.
    """
    if ImageInfo in target:
        return _describe_built_image(target, target[ImageInfo], [target[ImageInfo]], None)
    if ImageIndexInfo in target:
        info = target[ImageIndexInfo]
        return _describe_built_image(target, info, info.images, info.index)
    if LayerInfo in target:
        return _report_image(attribute, target, "is a layer, not an image; give the image that has it", problems)
    groups = target[OutputGroupInfo] if OutputGroupInfo in target else struct()
    files = groups.oci_layout if hasattr(groups, "oci_layout") else target[DefaultInfo].files

    # An image of another ruleset has few files, and images that have it as their base do not look for it again.
    names = files.to_list()
    if names and not [file for file in names if not file.basename.endswith(_DIRECTORIES if file.is_directory else _DOCUMENTS)]:
        return _report_image(attribute, target, _DOCUMENTS_ALONE, problems)
    if len(names) == 1:
        return _describe_image(target, names[0], files)
    indexes = [file for file in names if file.basename == "index.json"]
    if len(indexes) == 1:
        return _describe_image(target, indexes[0], files)
    explanation = "has {} files, and {} the index.json of an OCI layout; give one OCI layout directory, all files of one, or an archive"
    return _report_image(attribute, target, explanation.format(len(names), "more than one is" if indexes else "none is"), problems)

def _describe_built_image(target, info, images, index):
    """Returns the struct of find_image() for an image or an index of these rules.

    Args:
      target: Target.
      info: ImageInfo or ImageIndexInfo.
      images: list of ImageInfo.
      index: File; None for a single image.
    """
    direct = [info.descriptor] + ([index] if index else [])
    for image in images:
        direct += [image.manifest, image.config] + image.base_layouts
        for layer in image.layers:
            direct += [layer.metadata, layer.blob]
    return struct(
        built = images,
        descriptor = info.descriptor,
        file = info.layout,
        files = depset(direct, transitive = [image.base_layout_files for image in images]),
        index = index,
        is_layout = True,
        label = target.label,
    )

def _describe_image(target, file, files):
    """Returns the struct of find_image() for an image.

    Args:
      target: Target.
      file: File, the image.
      files: depset of File, the files that the image consists of or leads to.
    """

    # The links of a layout may lead to files among the runfiles. An archive is one file.
    may_have_links = file.is_directory or file.basename == "index.json"
    runfiles = target[DefaultInfo].default_runfiles if may_have_links else None
    return struct(
        built = [],
        descriptor = None,
        file = file,
        files = depset([file], transitive = [files] + ([runfiles.files] if runfiles else [])),
        index = None,
        is_layout = file.is_directory and not file.is_source,
        label = target.label,
    )

def _report_image(attribute, target, explanation, problems):
    """Adds a problem, and returns the struct of find_image() without an image."""
    problems.append(format_problem(attribute, format_label(target.label), explanation))
    return struct(
        built = [],
        descriptor = None,
        file = None,
        files = depset(),
        index = None,
        is_layout = False,
        label = target.label,
    )

def add_image_files(args, flag, image):
    """Adds the files of an image to the arguments of an action, for BuiltImage in tools/rules_setcap/oci.

    An action that reads an image of these rules reads its single files, and not the layout directory: that is made on this
    machine only, so Bazel would have to fetch all blobs.

    Args:
      args: Args.
      flag: str, the flag, for instance "--image".
      image: struct from find_image(), without problems.
    """
    if not image.built:
        args.add_all([image.file], format_each = flag + "=%s", expand_directories = False)
        return
    documents = [image.index] if image.index else []
    metadata, blobs = [], []
    for each in image.built:
        documents += [each.manifest, each.config]
        metadata += [layer.metadata for layer in each.layers]
        blobs += [layer.blob for layer in each.layers]
    args.add(image.descriptor, format = flag + "-descriptor=%s")
    args.add_all(documents, format_each = flag + "-document=%s")

    # The two lists have the same order, also if images share a layer.
    args.add_all(metadata, format_each = flag + "-metadata=%s")
    args.add_all(blobs, format_each = flag + "-blob=%s")
    args.add_all(
        depset(transitive = [depset(each.base_blobs) for each in image.built]),
        format_each = flag + "-base-blob=%s",
    )
    args.add_all(
        depset(transitive = [depset(each.base_layouts) for each in image.built]),
        format_each = flag + "-base-layout=%s",
        expand_directories = False,
    )

def convert_to_layout(ctx, attribute, image, name = None):
    """Returns an image as an OCI layout directory, and declares the action that makes it if the image is something else.

    Args:
      ctx: the context of a rule with tool_attrs("oci").
      attribute: str, the attribute that names the image.
      image: struct from find_image(), without problems.
      name: str, the extension of the directory's name; None for the attribute.

    Returns:
      struct of
        directory: File, the OCI layout directory.
        files: depset of File, the inputs of an action that reads it.
    """
    if image.is_layout:
        # The layout of an index has links to those of its images.
        layouts = [each.layout for each in image.built]
        return struct(directory = image.file, files = depset([image.file] + layouts, transitive = [image.files]))
    directory = ctx.actions.declare_directory("{}.{}".format(ctx.label.name, name or attribute))
    if image.file.basename == "index.json":
        _link_layout(ctx, attribute, image, directory)
        return struct(directory = directory, files = depset([directory], transitive = [image.files]))
    _unpack_archive(ctx, attribute, image, directory)
    return struct(directory = directory, files = depset([directory]))

def _link_layout(ctx, attribute, image, directory):
    """Declares the action that makes a layout directory of links to the files of a layout."""
    request = _start_request(ctx, "link", attribute, image, directory)
    request.add(image.file, format = "--index=%s")
    request.add_all(image.files, format_each = "--file=%s")
    _run_request(ctx, attribute, image, directory, request, "SetcapLayout", "Linking", execution_requirements = LOCAL_LINKS)

def _unpack_archive(ctx, attribute, image, directory):
    """Declares the action that unpacks an image archive, or a directory in the source tree, into a layout directory."""
    request = _start_request(ctx, "unpack", attribute, image, directory)
    request.add_all([image.file], format_each = "--archive=%s", expand_directories = False)
    _run_request(ctx, attribute, image, directory, request, "SetcapUnpack", "Unpacking")

def _start_request(ctx, command, attribute, image, directory):
    """Returns the Args of a command that makes a layout directory of an image, with the flags of all such commands."""
    request = start_request(ctx, command)
    add_label(request, attribute, image.label, image.file)
    request.add(attribute, format = "--attribute=%s")
    request.add_all([directory], format_each = "--output=%s", expand_directories = False)
    return request

def _run_request(ctx, attribute, image, directory, request, mnemonic, verb, **kwargs):
    """Declares the action of a request that makes a layout directory of an image."""
    run_request(
        ctx,
        ctx.attr._oci_tool,
        request,
        outputs = [directory],
        transitive_inputs = [image.files],
        mnemonic = mnemonic,
        progress_message = "{} the {} of %{{label}}".format(verb, attribute),
        **kwargs
    )
