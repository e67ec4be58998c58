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

def find_image(attribute, target, problems):
    """Finds the image among the files of a target.

    Args:
      attribute: str, the attribute that names the target.
      target: Target.
      problems: list of str, to which problems are added.

    Returns:
      struct of
        file: File: an OCI layout directory if `is_layout`; otherwise the index.json of one, an archive, or a directory in
          the source tree. None if there is a problem.
        files: depset of File, the inputs of an action that reads the image. The blobs of a layout may be links to others.
        is_layout: bool.
        label: Label of the target.
    """
    if ImageInfo in target:
        info = target[ImageInfo]
        return _describe_image(target, info.layout, _list_linked_files([info]))
    if ImageIndexInfo in target:
        info = target[ImageIndexInfo]
        return _describe_image(target, info.layout, _list_linked_files(info.images, [image.layout for image in info.images]))
    if LayerInfo in target:
        return _report_image(attribute, target, "is a layer, not an image; give the image that has it", problems)
    groups = target[OutputGroupInfo] if OutputGroupInfo in target else struct()
    files = groups.oci_layout if hasattr(groups, "oci_layout") else target[DefaultInfo].files

    # An image of another ruleset has few files, and images that have it as their base do not look for it again.
    names = files.to_list()
    if len(names) == 1:
        return _describe_image(target, names[0], files)
    indexes = [file for file in names if file.basename == "index.json"]
    if len(indexes) == 1:
        return _describe_image(target, indexes[0], files)
    explanation = "has {} files, and {} the index.json of an OCI layout; give one OCI layout directory, all files of one, or an archive"
    return _report_image(attribute, target, explanation.format(len(names), "more than one is" if indexes else "none is"), problems)

def _list_linked_files(images, layouts = []):
    """Returns the files that the links in a layout of these rules lead to, a depset of File.

    Args:
      images: list of ImageInfo, the images of the layout.
      layouts: list of File, the layouts of the images if that of an index leads to them.
    """
    return depset(
        layouts + [layer.blob for image in images for layer in image.layers],
        transitive = [image.base_layout_files for image in images],
    )

def _describe_image(target, file, files):
    """Returns the struct of find_image() for an image.

    Args:
      target: Target.
      file: File, the image.
      files: depset of File, the files that the image consists of or leads to.
    """
    runfiles = target[DefaultInfo].default_runfiles
    return struct(
        file = file,
        files = depset([file], transitive = [files] + ([runfiles.files] if runfiles else [])),
        is_layout = file.is_directory and not file.is_source,
        label = target.label,
    )

def _report_image(attribute, target, explanation, problems):
    """Adds a problem, and returns the struct of find_image() without an image."""
    problems.append(format_problem(attribute, format_label(target.label), explanation))
    return struct(file = None, files = depset(), is_layout = False, label = target.label)

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
        return struct(directory = image.file, files = image.files)
    directory = ctx.actions.declare_directory("{}.{}".format(ctx.label.name, name or attribute))
    if image.file.basename == "index.json":
        _link_layout(ctx, attribute, image, directory)
        return struct(directory = directory, files = depset([directory], transitive = [image.files]))
    _unpack_archive(ctx, attribute, image, directory)
    return struct(directory = directory, files = depset([directory]))

def _link_layout(ctx, attribute, image, directory):
    """Declares the action that makes a layout directory of links to the files of a layout."""
    request = start_request(ctx, "link")
    add_label(request, attribute, image.label, image.file)
    request.add(image.file, format = "--index=%s")
    request.add_all(image.files, format_each = "--file=%s")
    request.add(attribute, format = "--attribute=%s")
    request.add_all([directory], format_each = "--output=%s", expand_directories = False)
    run_request(
        ctx,
        ctx.attr._oci_tool,
        request,
        outputs = [directory],
        transitive_inputs = [image.files],
        mnemonic = "SetcapLayout",
        progress_message = "Linking the {} of %{{label}}".format(attribute),
        execution_requirements = LOCAL_LINKS,
    )

def _unpack_archive(ctx, attribute, image, directory):
    """Declares the action that unpacks an image archive, or a directory in the source tree, into a layout directory."""
    request = start_request(ctx, "unpack")
    add_label(request, attribute, image.label, image.file)
    request.add_all([image.file], format_each = "--archive=%s", expand_directories = False)
    request.add(attribute, format = "--attribute=%s")
    request.add_all([directory], format_each = "--output=%s", expand_directories = False)
    run_request(
        ctx,
        ctx.attr._oci_tool,
        request,
        outputs = [directory],
        transitive_inputs = [image.files],
        mnemonic = "SetcapUnpack",
        progress_message = "Unpacking the {} of %{{label}}".format(attribute),
    )
