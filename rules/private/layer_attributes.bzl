"""Attributes that the rules `image`, `layer` and `setcap` share."""

load(":gzip_library.bzl", "GZIP_LIBRARY_ATTRS")
load(":request.bzl", "tool_attrs")
load(":threads.bzl", "THREADS_ATTRS")

visibility(["//rules/...", "//tests/...", "//tools/..."])

EXTENSIONS = {"gzip": ".tar.gz", "none": ".tar", "zstd": ".tar.zst"}

# The attributes of every rule that writes a layer.
BLOB_ATTRS = tool_attrs("packer") | GZIP_LIBRARY_ATTRS | THREADS_ATTRS | {
    "compression": attr.string(
        doc = """The compression of the layer:

- `gzip`: every container engine reads it. libdeflate compresses it, unless \
[`--@rules_setcap//rules:gzip_library`](flags.md#gzip_library) names another library.
- `zstd`: smaller and faster. Old engines do not read it.
- `none`: an uncompressed tar.

[Layers](../layers.md#compression) compares them.""",
        default = "gzip",
        values = EXTENSIONS.keys(),
    ),
    "compression_level": attr.int(
        doc = """The compression level: 1 (fastest) to 12 (smallest) for gzip, or to 9 if zlib compresses it, and to 19 for \
zstd. The default, 0, means 5 for gzip, and 3 for zstd.""",
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

def find_path_fault(path):
    """Checks that a path in the image is absolute.

    The tool checks the path of each file. A wrong path of a target with many files is one problem, so the rule reports it.

    Args:
      path: str.

    Returns:
      str: what is wrong with the path; "" if it is absolute.
    """
    if not path.startswith("/"):
        return "must be absolute; write {}".format(json.encode("/" + path))
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
