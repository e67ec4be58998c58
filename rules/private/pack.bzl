"""The action that packs a layer."""

load("//rules:providers.bzl", "LayerInfo")
load(":messages.bzl", "problem")
load(":packer.bzl", "PACKER_ATTRS", "run_packer")

_EXTENSIONS = {"gzip": ".tar.gz", "none": ".tar", "zstd": ".tar.zst"}

PACK_ATTRS = PACKER_ATTRS | {
    "compression": attr.string(
        doc = "How the layer is stored: `gzip`, which all container engines read; `zstd`, smaller and several times as fast; or `none`.",
        default = "gzip",
        values = _EXTENSIONS.keys(),
    ),
    "compression_level": attr.int(
        doc = "1 (fast) to 9 (small) for gzip, to 19 for zstd; by default 6 for gzip and 3 for zstd.",
        default = 0,
    ),
    "file_capabilities": attr.string_dict(
        doc = """Capabilities of single files: absolute path in the image -> \
[what to write](capability-text.md), for instance `{"/app/helper": "cap_net_raw=ep"}`. \
A path that the layer does not have is an error.""",
    ),
    "mode": attr.string(
        doc = """Permissions of files, octal. The bits on disk never count: \
Bazel, caches and checkouts do not keep them.""",
        default = "0755",
    ),
    "mtime": attr.int(
        doc = "Modification time of every entry, in seconds since 1970.",
        default = 0,
    ),
    "owner": attr.string(
        doc = "Owner of every entry: `uid:gid`, in numbers.",
        default = "0:0",
    ),
}

def parse_owner(text, problems):
    """The attribute owner, read.

    Args:
      text: str, uid:gid.
      problems: list of str, gets what is wrong.

    Returns:
      struct of uid and gid.
    """
    numbers = text.split(":")
    if len(numbers) != 2 or not all([number.isdigit() and len(number) < 11 for number in numbers]):
        problems.append(problem("owner", text, "not an owner; write uid:gid in numbers, as \"65532:65532\""))
        return struct(uid = 0, gid = 0)
    return struct(uid = int(numbers[0]), gid = int(numbers[1]))

def pack(ctx, name, request, inputs, capabilities, problems):
    """Declares the action.

    Args:
      ctx: the context of a rule with PACK_ATTRS.
      name: str, the outputs' name without extension.
      request: Args from packer_request(), with the entries.
      inputs: list of depset of File, all that the entries name.
      capabilities: list of struct(attribute, path, capabilities: list of str).
      problems: list of str, what is wrong with the attributes.

    Returns:
      LayerInfo.
    """
    blob = ctx.actions.declare_file(name + _EXTENSIONS[ctx.attr.compression])
    metadata = ctx.actions.declare_file(name + ".layer.json")
    request.add(blob, format = "--output=%s")
    request.add(metadata, format = "--metadata=%s")
    request.add(ctx.attr.compression, format = "--compression=%s")
    request.add(ctx.attr.compression_level, format = "--level=%s")
    request.add(ctx.attr.mtime, format = "--mtime=%s")
    request.add("rules_setcap", format = "--created-by=%s")
    request.add_all([json.encode(each) for each in capabilities], format_each = "--capabilities=%s")
    run_packer(
        ctx,
        request,
        outputs = [blob, metadata],
        transitive_inputs = inputs,
        mnemonic = "SetcapLayer",
        progress_message = "Packing layer %{label}",
        problems = problems,
        execution_requirements = {"supports-path-mapping": "1"},
    )
    return LayerInfo(blob = blob, metadata = metadata)

def file_capabilities(ctx):
    """The attribute file_capabilities, as pack() takes it.

    Args:
      ctx: the context of a rule with PACK_ATTRS.

    Returns:
      list of struct.
    """
    return [
        struct(attribute = "file_capabilities", path = path, capabilities = [text])
        for path, text in ctx.attr.file_capabilities.items()
    ]
