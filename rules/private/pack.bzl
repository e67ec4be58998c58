"""The action that packs a layer, and what all rules that make one have in common."""

load("//rules:providers.bzl", "LayerInfo")
load(":libdeflate.bzl", "LIBDEFLATE_ATTRS")
load(":messages.bzl", "label_text", "problem")
load(":packer.bzl", "PACKER_ATTRS", "run_packer")
load(":stamp.bzl", "placeholders", "status_files")
load(":threads.bzl", "THREADS_ATTRS", "thread_count")

_EXTENSIONS = {"gzip": ".tar.gz", "libdeflate": ".tar.gz", "none": ".tar", "zstd": ".tar.zst"}
_LEVELS = {"gzip": 9, "libdeflate": 12, "zstd": 19}

BLOB_ATTRS = PACKER_ATTRS | LIBDEFLATE_ATTRS | THREADS_ATTRS | {
    "compression": attr.string(
        doc = """How the layer is stored: `gzip`, which all container engines read; `libdeflate`, which is gzip too, \
smaller and more than twice as fast, by a library that the build then fetches; `zstd`, smaller and faster still; or \
`none`. See [Layers](layers.md).""",
        default = "gzip",
        values = _EXTENSIONS.keys(),
    ),
    "compression_level": attr.int(
        doc = "1 (fast) to 9 (small) for gzip, to 12 for libdeflate, to 19 for zstd; by default 5 for gzip and libdeflate, 3 for zstd.",
        default = 0,
    ),
}

PACK_ATTRS = BLOB_ATTRS | {
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
    "hard_link_duplicates": attr.bool(
        doc = "Whether files of equal bytes, mode, owner and capabilities become hard links to the first of them.",
    ),
    "modes": attr.string_dict(
        doc = "Permissions of single entries: absolute path in the image -> octal mode. A path that the layer does not have is an error.",
    ),
    "mtime": attr.string(
        doc = """Modification time of every entry: seconds since 1970, or a time of RFC 3339, or with `stamp` a placeholder \
as `{BUILD_TIMESTAMP}`. In BUILD files it may be a number.""",
        default = "0",
    ),
    "owners": attr.string_dict(
        doc = "Owners of single entries: absolute path in the image -> `uid:gid`. A path that the layer does not have is an error.",
    ),
    "parent_directories": attr.string(
        doc = """Which directories that lead to the entries become entries themselves: `all`, those that are `missing` in the layers \
below, or `none`. A directory that the layers below have keeps its mode, owner and extended attributes; another one is root's, \
with mode 0755 (0700 for `/root`, 1777 for `/tmp` and `/var/tmp`). Without these entries, Docker's overlay2 creates the directories \
anew, whatever is below. The layers below are those of the image; a `layer` alone knows none.""",
        default = "all",
        values = ["all", "missing", "none"],
    ),
    "tar_style": attr.string(
        doc = """How entries are written: `plain`, as Docker and BuildKit do, or as `ko` does, so that the same files have \
the `diff_id` that they have there: names begin with `/`, directories have mode 0555. See [ko](ko.md).""",
        default = "plain",
        values = ["ko", "plain"],
    ),
    "xattrs": attr.string_list_dict(
        doc = """Extended attributes of single entries: absolute path in the image -> list of `name=value`, the value as \
setfattr(1) takes it: text, hex after `0x`, base64 after `0s`. Capabilities are assigned by `file_capabilities`.""",
    ),
    "owner": attr.string(
        doc = "Owner of every entry: `uid:gid`, in numbers.",
        default = "0:0",
    ),
}

# (uid_t) -1 means "no change" to chown(2).
_MAX_ID = 4294967294

def parse_owner(text, problems):
    """Parses the attribute owner.

    Args:
      text: str, uid:gid.
      problems: list of str, to which problems are added.

    Returns:
      struct of uid and gid.
    """
    numbers = text.split(":")
    if len(numbers) != 2 or not all([number.isdigit() and len(number) < 20 for number in numbers]):
        problems.append(problem("owner", text, "not a valid owner; write uid:gid in numbers, as \"65532:65532\""))
        return struct(uid = 0, gid = 0)
    ids = [int(number, 10) for number in numbers]
    beyond = [number for number in ids if number > _MAX_ID]
    if beyond:
        problems.append(problem("owner", text, "{} is out of range (0 to {})".format(beyond[0], _MAX_ID)))
        return struct(uid = 0, gid = 0)
    return struct(uid = ids[0], gid = ids[1])

def parse_mode(text, problems):
    """Checks the attribute mode.

    Args:
      text: str, octal.
      problems: list of str, to which problems are added.

    Returns:
      str: the mode, or "" if it is not valid.
    """
    if 0 < len(text) and len(text) < 6 and not text.strip("01234567") and int(text, 8) < 4096:
        return text
    problems.append(problem("mode", text, "not a valid mode; write it in octal, as \"0755\""))
    return ""

def path_fault(path):
    """Returns what is wrong with a path in the image, so that it is reported once and not for each of many files.

    Args:
      path: str.

    Returns:
      str, "" if nothing is.
    """
    if not path.startswith("/"):
        return "must be absolute; write {}".format(json.encode("/" + path))
    return ""

def check_blob(ctx, problems):
    """Checks the attributes that say how a layer is stored.

    Args:
      ctx: the context of a rule with BLOB_ATTRS.
      problems: list of str, to which problems are added.
    """
    fault = _level_fault(ctx)
    if fault:
        problems.append(problem("compression_level", ctx.attr.compression_level, fault))

def _level_fault(ctx):
    """Returns what is wrong with compression_level, or ""."""
    level, compression = ctx.attr.compression_level, ctx.attr.compression
    if level and compression == "none":
        return "has no effect: compression is \"none\"; leave it out"
    if level and (level < 0 or level > _LEVELS[compression]):
        return "is out of range (1 to {} for {})".format(_LEVELS[compression], compression)
    return ""

def blob_outputs(ctx, name, request, capabilities):
    """Declares a layer's outputs, and asks for them.

    Args:
      ctx: the context of a rule with BLOB_ATTRS.
      name: str, the outputs' name without extension.
      request: Args from packer_request().
      capabilities: list of struct(attribute, path, capabilities: list of str).

    Returns:
      LayerInfo.
    """
    blob = ctx.actions.declare_file(name + _EXTENSIONS[ctx.attr.compression])
    metadata = ctx.actions.declare_file(name + ".layer.json")
    request.add(blob, format = "--output=%s")
    request.add(metadata, format = "--metadata=%s")
    request.add(ctx.attr.compression, format = "--compression=%s")
    request.add(0 if _level_fault(ctx) else ctx.attr.compression_level, format = "--level=%s")
    request.add_all(ctx.files._libdeflate, format_each = "--library=%s")
    request.add("rules_setcap", format = "--created-by=%s")
    request.add_all([json.encode(each) for each in capabilities], format_each = "--capabilities=%s")
    return LayerInfo(blob = blob, disabled_checks = [], metadata = metadata)

def pack(ctx, name, request, inputs, capabilities, problems, below = None, elsewhere = None, changes = True):
    """Declares the action.

    Args:
      ctx: the context of a rule with PACK_ATTRS.
      name: str, the outputs' name without extension.
      request: Args from packer_request(), with the entries.
      inputs: list of depset of File, all that the entries name.
      capabilities: list of struct(attribute, path, capabilities: list of str).
      problems: list of str or File, as run_packer() takes them.
      below: struct of base (list of File, contents of the base and metadata of its layers) and layers (list of struct of
        label and info, the LayerInfo of layers between the base and this one); None if the layers below are not known.
      elsewhere: File, gets the paths of file_capabilities that the layer does not have; without it they are an error.
      changes: bool, whether modes, owners and xattrs are about entries of this layer.

    Returns:
      LayerInfo.
    """
    info = blob_outputs(ctx, name, request, capabilities)
    extra = add_mtime(ctx, request)
    if changes:
        add_changes(ctx, request)
    if ctx.attr.hard_link_duplicates:
        request.add("--hard-link-duplicates=yes")
    request.add(ctx.attr.parent_directories, format = "--parent-directories=%s")
    request.add(ctx.attr.tar_style, format = "--tar-style=%s")
    if below:
        metadata = [each.info.metadata for each in below.layers]
        request.add_all(below.base, format_each = "--base-contents=%s")
        request.add_all(metadata, format_each = "--below=%s")
        request.add_all([json.encode(label_text(each.label)) for each in below.layers], format_each = "--below-name=%s")
        extra += below.base + metadata
    if elsewhere:
        request.add(elsewhere, format = "--elsewhere=%s")
    run_packer(
        ctx,
        request,
        outputs = [info.blob, info.metadata] + ([elsewhere] if elsewhere else []),
        inputs = extra,
        transitive_inputs = inputs,
        tools = ctx.files._libdeflate,
        threads = thread_count(ctx),
        mnemonic = "SetcapLayer",
        progress_message = "Packing layer %{label}",
        problems = problems,
    )
    return info

def add_mtime(ctx, request):
    """Adds the modification time of the entries to the arguments of an action.

    Args:
      ctx: the context of a rule with PACK_ATTRS and stamp_attrs().
      request: Args to add to.

    Returns:
      list of File: the inputs that this adds.
    """
    request.add(ctx.attr.mtime, format = "--mtime=%s")
    stamp = status_files(ctx, [ctx.attr.mtime]) if placeholders(ctx.attr.mtime) else []
    request.add_all(stamp, format_each = "--stamp=%s")
    return stamp

def add_changes(ctx, request):
    """Adds the modes, owners and extended attributes of single entries to the arguments of an action.

    Args:
      ctx: the context of a rule with PACK_ATTRS.
      request: Args to add to.
    """
    changes = (
        [struct(attribute = "modes", path = path, mode = mode) for path, mode in ctx.attr.modes.items()] +
        [struct(attribute = "owners", path = path, owner = owner) for path, owner in ctx.attr.owners.items()] +
        [struct(attribute = "xattrs", path = path, xattrs = words) for path, words in ctx.attr.xattrs.items()]
    )
    request.add_all([json.encode(change) for change in changes], format_each = "--change=%s")

def file_capabilities(ctx, removable = False):
    """The attribute file_capabilities, as pack() takes it.

    Args:
      ctx: the context of a rule with file_capabilities.
      removable: whether "" takes away what a file has.

    Returns:
      list of struct.
    """
    return [
        struct(attribute = "file_capabilities", path = path, capabilities = [text] if text or not removable else [])
        for path, text in ctx.attr.file_capabilities.items()
    ]
