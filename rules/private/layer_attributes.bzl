"""Attributes that the rules `image`, `layer` and `setcap` share, and checks of their values."""

load(":libdeflate.bzl", "LIBDEFLATE_ATTRS")
load(":messages.bzl", "format_problem")
load(":request.bzl", "REQUEST_ATTRS")
load(":threads.bzl", "THREADS_ATTRS")

EXTENSIONS = {"gzip": ".tar.gz", "libdeflate": ".tar.gz", "none": ".tar", "zstd": ".tar.zst"}
_MAX_LEVELS = {"gzip": 9, "libdeflate": 12, "zstd": 19}

# The attributes of every rule that writes a layer.
BLOB_ATTRS = REQUEST_ATTRS | LIBDEFLATE_ATTRS | THREADS_ATTRS | {
    "compression": attr.string(
        doc = """The compression of the layer:

- `gzip`: every container engine reads it.
- `libdeflate`: gzip too, but smaller and more than twice as fast. The build fetches the library.
- `zstd`: smaller and faster still. Old engines do not read it.
- `none`: an uncompressed tar.

[Layers](../layers.md#compression) compares them.""",
        default = "gzip",
        values = EXTENSIONS.keys(),
    ),
    "compression_level": attr.int(
        doc = """The compression level: 1 (fastest) to 9 (smallest) for gzip, to 12 for libdeflate, to 19 for zstd. The default, \
0, means 5 for gzip and libdeflate, and 3 for zstd.""",
        default = 0,
    ),
}

# The attributes of the rules that write a layer from files.
LAYER_ATTRS = BLOB_ATTRS | {
    "file_capabilities": attr.string_dict(
        doc = """Capabilities of single files. Keys are absolute paths in the image, values are \
[capability text](../capability-text.md). A path that matches no file is an error.

```starlark
file_capabilities = {"/app/helper": "cap_net_raw=ep"},
```""",
    ),
    "hard_link_duplicates": attr.bool(
        doc = """Whether to write duplicate files as hard links to the first of them. Files are duplicates if they have the same \
bytes, mode, owner, extended attributes and capabilities.""",
    ),
    "mode": attr.string(
        doc = """Permissions of files, in octal, for instance `"0644"`. The permissions on disk do not count, because Bazel, caches \
and checkouts do not preserve them. `modes` sets those of single entries.""",
        default = "0755",
    ),
    "modes": attr.string_dict(
        doc = """Permissions of single files and directories. Keys are absolute paths in the image, values are octal modes. A path \
that the layer does not have is an error.

```starlark
modes = {"/var/lib/app": "0700"},
```""",
    ),
    "mtime": attr.string(
        doc = """The modification time of every entry: seconds since 1970 (a number or a string), a time in RFC 3339 format such as \
`"2026-01-31T12:00:00Z"`, or, if `stamp` is set, a placeholder such as `"{BUILD_TIMESTAMP}"`. The default is 1970, so that \
equal inputs give equal digests.""",
        default = "0",
    ),
    "owner": attr.string(
        doc = "The owner of every entry: `uid:gid` in numbers, for instance `\"65532:65532\"`. The default is root. `owners` sets that of single entries.",
        default = "0:0",
    ),
    "owners": attr.string_dict(
        doc = """Owners of single entries. Keys are absolute paths in the image, values are `uid:gid` in numbers. A path that the \
layer does not have is an error.

```starlark
owners = {"/var/lib/app": "65532:65532"},
```""",
    ),
    "parent_directories": attr.string(
        doc = """Which parent directories of the entries are written as entries of their own:

- `all`: every one.
- `missing`: those that the lower layers of the image do not have.
- `none`: no directory.

A directory that a lower layer has keeps its mode, owner and extended attributes. Every other directory belongs to root and \
has mode 0755 (`/root` 0700, `/tmp` and `/var/tmp` 1777). Without these entries, Docker's overlay2 storage driver creates the \
directories again and ignores those of the lower layers. Only an `image` knows its lower layers; a `layer` has none. See \
[Layers](../layers.md#directories).""",
        default = "all",
        values = ["all", "missing", "none"],
    ),
    "tar_style": attr.string(
        doc = """How names and directories are written in the tar:

- `plain`: as Docker and BuildKit write them.
- `ko`: as ko writes them: names begin with `/`, and directories have mode 0555. A layer of the same files then has the \
same `diff_id` as in ko. See [Moving from ko](../ko.md).""",
        default = "plain",
        values = ["ko", "plain"],
    ),
    "xattrs": attr.string_list_dict(
        doc = """Extended attributes of single entries. Keys are absolute paths in the image, values are lists of `name=value`. The \
value has the format of setfattr(1): text, hexadecimal after `0x`, or base64 after `0s`. To assign capabilities, use \
`file_capabilities`.

```starlark
xattrs = {"/app/data": ["user.origin=build"]},
```""",
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
      struct of uid and gid, int.
    """
    numbers = text.split(":")
    if len(numbers) != 2 or not all([number.isdigit() and len(number) < 20 for number in numbers]):
        problems.append(format_problem("owner", text, "not a valid owner; write uid:gid in numbers, as \"65532:65532\""))
        return struct(uid = 0, gid = 0)
    ids = [int(number, 10) for number in numbers]
    out_of_range = [number for number in ids if number > _MAX_ID]
    if out_of_range:
        problems.append(format_problem("owner", text, "{} is out of range (0 to {})".format(out_of_range[0], _MAX_ID)))
        return struct(uid = 0, gid = 0)
    return struct(uid = ids[0], gid = ids[1])

def parse_mode(text, problems):
    """Checks the attribute mode.

    Args:
      text: str, octal.
      problems: list of str, to which problems are added.

    Returns:
      str: the mode; "" if it is not valid.
    """
    if 0 < len(text) and len(text) < 6 and not text.strip("01234567") and int(text, 8) < 4096:
        return text
    problems.append(format_problem("mode", text, "not a valid mode; write it in octal, as \"0755\""))
    return ""

def find_path_fault(path):
    """Checks that a path in the image is absolute.

    The tool checks paths too, but reports each of a target's files, and a wrong path of a target is one problem.

    Args:
      path: str.

    Returns:
      str: what is wrong with the path; "" if it is absolute.
    """
    if not path.startswith("/"):
        return "must be absolute; write {}".format(json.encode("/" + path))
    return ""

def check_compression_level(ctx, problems):
    """Checks the attribute compression_level.

    Args:
      ctx: the context of a rule with BLOB_ATTRS.
      problems: list of str, to which problems are added.
    """
    fault = _find_level_fault(ctx)
    if fault:
        problems.append(format_problem("compression_level", ctx.attr.compression_level, fault))

def valid_compression_level(ctx):
    """Returns the compression level, or 0, the default, if the attribute is not valid.

    Args:
      ctx: the context of a rule with BLOB_ATTRS.

    Returns:
      int.
    """
    return 0 if _find_level_fault(ctx) else ctx.attr.compression_level

def _find_level_fault(ctx):
    """Returns what is wrong with compression_level; "" if it is valid."""
    level, compression = ctx.attr.compression_level, ctx.attr.compression
    if level and compression == "none":
        return "has no effect: compression is \"none\"; leave it out"
    if level and (level < 0 or level > _MAX_LEVELS[compression]):
        return "is out of range (1 to {} for {})".format(_MAX_LEVELS[compression], compression)
    return ""

def list_file_capabilities(ctx, removable = False):
    """Returns the attribute file_capabilities as the layer actions take it.

    Args:
      ctx: the context of a rule with file_capabilities.
      removable: bool, whether "" removes the capabilities of a file; otherwise it is invalid text.

    Returns:
      list of struct of attribute (str), path (str) and capabilities (list of str, empty to remove them).
    """
    return [
        struct(attribute = "file_capabilities", path = path, capabilities = [text] if text or not removable else [])
        for path, text in ctx.attr.file_capabilities.items()
    ]
