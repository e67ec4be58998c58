"""Images as attributes take them: those of these rules and those of other rulesets.

An image of another ruleset is an OCI layout directory (a tree artifact, a directory in the source tree, or all its
files), an image archive, or a target with the output group `oci_layout`.
"""

load("//rules:providers.bzl", "ImageIndexInfo", "ImageInfo", "LayerInfo")
load(":messages.bzl", "label_text", "named", "problem")
load(":packer.bzl", "packer_request", "run_packer")

# The attribute image of rules that take any image.
ANY_IMAGE = """an `image`, an `image_index`, or an image of another ruleset: an OCI layout directory (`oci_image`, `oci_pull`, \
`crane pull --format=oci`, `skopeo copy ... oci:`; of a checked-in one, best a `filegroup` of its files), a target with the \
output group `oci_layout`, or an image archive (`docker save`, `podman save`, `crane pull`, `skopeo copy`, ko, Nix and others)"""

def find_image(attribute, target, problems):
    """Finds the image that a target has.

    Args:
      attribute: str, the attribute that names the target.
      target: Target.
      problems: list of str, to which problems are added.

    Returns:
      struct of
        file: File, an OCI layout directory if `is_layout`; else the index.json of one, an archive, or a directory in
          the source tree. None if there is a problem.
        is_layout: bool.
        label: Label of the target.
        files: depset of File, the inputs of an action that reads the image: layouts may hold links to other files.
    """
    if ImageInfo in target or ImageIndexInfo in target:
        info = target[ImageInfo] if ImageInfo in target else target[ImageIndexInfo]
        return _found(target, info.layout, [info.layout])
    if LayerInfo in target:
        return _wrong(attribute, target, "a layer, not an image; give the image that has it", problems)
    files = target[DefaultInfo].files.to_list()
    groups = target[OutputGroupInfo] if OutputGroupInfo in target else struct()
    if hasattr(groups, "oci_layout"):
        files = groups.oci_layout.to_list()
    if len(files) == 1:
        return _found(target, files[0], files)
    indexes = [file for file in files if file.basename == "index.json"]
    if len(indexes) == 1:
        return _found(target, indexes[0], files)
    what = "{} files, and {} the index.json of an OCI layout; give one OCI layout directory, all files of one, or an archive"
    return _wrong(attribute, target, what.format(len(files), "more than one is" if indexes else "none is"), problems)

def _found(target, file, files):
    runfiles = target[DefaultInfo].default_runfiles
    return struct(
        file = file,
        label = target.label,
        files = depset(files, transitive = [runfiles.files] if runfiles else []),
        is_layout = file.is_directory and not file.is_source,
    )

def _wrong(attribute, target, what, problems):
    problems.append(problem(attribute, label_text(target.label), what))
    return struct(file = None, files = depset(), is_layout = False, label = target.label)

def image_layout(ctx, attribute, image, name = None):
    """Returns an image as an OCI layout directory; declares the action that makes it if it is something else.

    Args:
      ctx: the context of a rule with PACKER_ATTRS.
      attribute: str, the attribute that names the image.
      image: struct from find_image(), without problems.
      name: str, the extension of the directory's name; by default the attribute.

    Returns:
      struct of
        layout: File, the directory.
        files: depset of File, the inputs of an action that reads it.
    """
    if image.is_layout:
        return struct(layout = image.file, files = image.files)
    layout = ctx.actions.declare_directory("{}.{}".format(ctx.label.name, name or attribute))
    if image.file.basename == "index.json":
        request = packer_request(ctx, "link")
        named(request, attribute, image.label, image.file)
        request.add(image.file, format = "--index=%s")
        request.add_all(image.files, format_each = "--file=%s")
        mnemonic = "SetcapLayout"

        # Links to this machine's outputs are of no use on another.
        requirements = {"execution_requirements": {"no-cache": "1", "no-remote": "1"}}
        files = depset([layout], transitive = [image.files])
    else:
        request = packer_request(ctx, "unpack")
        named(request, attribute, image.label, image.file)
        request.add_all([image.file], format_each = "--archive=%s", expand_directories = False)
        mnemonic = "SetcapUnpack"
        requirements = {}
        files = depset([layout])
    request.add(attribute, format = "--attribute=%s")
    request.add_all([layout], format_each = "--output=%s", expand_directories = False)
    run_packer(
        ctx,
        request,
        tool = "_oci",
        outputs = [layout],
        transitive_inputs = [image.files],
        mnemonic = mnemonic,
        progress_message = "Unpacking the {} of %{{label}}".format(attribute),
        **requirements
    )
    return struct(layout = layout, files = files)
