"""The action that packs a layer."""

load("//rules:providers.bzl", "LayerInfo")
load(":messages.bzl", "problem")
load(":packer.bzl", "PACKER_ATTRS", "run_packer")

_EXTENSIONS = {"gzip": ".tar.gz", "none": ".tar"}

PACK_ATTRS = PACKER_ATTRS | {
    "compression": attr.string(
        doc = "How the layer is stored: `gzip`, or `none`.",
        default = "gzip",
        values = _EXTENSIONS.keys(),
    ),
    "compression_level": attr.int(
        doc = "The level of gzip, 1 (fast) to 9 (small).",
        default = 6,
        values = [1, 2, 3, 4, 5, 6, 7, 8, 9],
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

def entries_args(ctx):
    """The Args that become the packer's entries file.

    Args:
      ctx: the context of a rule with PACK_ATTRS.

    Returns:
      Args, one line each.
    """
    args = ctx.actions.args()
    args.use_param_file("--entries=%s", use_always = True)
    args.set_param_file_format("multiline")
    return args

def pack(ctx, name, entries, inputs, capabilities, problems):
    """Declares the action.

    Args:
      ctx: the context of a rule with PACK_ATTRS.
      name: str, the outputs' name without extension.
      entries: Args from entries_args().
      inputs: list of depset of File, all that the entries name.
      capabilities: list of struct(attribute, path, capabilities: list of str).
      problems: list of str, what is wrong with the attributes.

    Returns:
      LayerInfo.
    """
    blob = ctx.actions.declare_file(name + _EXTENSIONS[ctx.attr.compression])
    metadata = ctx.actions.declare_file(name + ".layer.json")
    args = ctx.actions.args()
    args.add(blob, format = "--output=%s")
    args.add(metadata, format = "--metadata=%s")
    args.add(ctx.attr.compression, format = "--compression=%s")
    args.add(ctx.attr.compression_level, format = "--level=%s")
    args.add(ctx.attr.mtime, format = "--mtime=%s")
    args.add("rules_setcap", format = "--created-by=%s")
    args.add_all([json.encode(each) for each in capabilities], format_each = "--capabilities=%s")
    run_packer(
        ctx,
        "layer",
        [args, entries],
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
