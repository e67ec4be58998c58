"""The rule setcap."""

load("//rules:providers.bzl", "ImageIndexInfo", "ImageInfo", "LayerInfo")
load(":checks.bzl", "CHECK_ATTRS", "make_layer_providers")
load(":layer_actions.bzl", "rewrite_tar")
load(":layer_attributes.bzl", "BLOB_ATTRS", "list_file_capabilities")
load(":messages.bzl", "format_label", "format_problem")

visibility(["//rules/...", "//tests/...", "//tools/..."])

def _setcap_impl(ctx):
    problems = []
    tars = [ctx.attr.tar[LayerInfo].blob] if LayerInfo in ctx.attr.tar else ctx.files.tar
    fault = _find_tar_fault(ctx.attr.tar, tars)
    if fault:
        problems.append(format_problem("tar", format_label(ctx.attr.tar.label), fault))
        tars = []
    info = rewrite_tar(ctx, ctx.label.name, problems, capabilities = list_file_capabilities(ctx, removable = True), tars = tars)
    return make_layer_providers(ctx, info, is_checked = True)

def _find_tar_fault(target, files):
    """Returns why a target is not a tar, and what to write instead; "" if it may be one."""
    of_image = "to assign capabilities to files of an image, write image(name = ..., base = \"{}\", file_capabilities = {{...}})".format(format_label(target.label))
    if ImageInfo in target or ImageIndexInfo in target:
        return "is an image, not a tar; " + of_image
    if len(files) == 1 and files[0].is_directory:
        return "is a directory, not a tar; " + of_image
    if len(files) != 1:
        return "has {} files; give a target that has only the tar".format(len(files))
    return ""

setcap = rule(
    doc = """A layer made of the tar of another rule, with other capabilities.

Everything else keeps its bytes: names, owners, times, order and padding. If no capability changes, the `diff_id` is the digest \
of the uncompressed input. A compressed tar without an end-of-archive marker, which rules_img writes, gets one.

Output groups:

- `metadata`: the digests of the layer and the capabilities of its files, as JSON ([schema](schemas/layer-metadata.schema.json)).
- `_validation`: the checks of programs, which Bazel also runs when it builds the layer. `disabled_checks` lists them.""",
    implementation = _setcap_impl,
    attrs = BLOB_ATTRS | CHECK_ATTRS | {
        "drop_zero_rootid": attr.bool(
            doc = """Whether to rewrite capabilities of revision 3 with rootid 0, which melange writes, as revision 2, which has no rootid. \
Both mean the same to the kernel. Other rootids are kept.""",
        ),
        "existing_capabilities": attr.string(
            doc = """What happens to capabilities that the tar has on files which `file_capabilities` does not name:

- `keep`: they stay as they are.
- `remove`: they are removed.
- `forbid`: they are an error, so that no file has capabilities by accident.""",
            default = "keep",
            values = ["forbid", "keep", "remove"],
        ),
        "file_capabilities": attr.string_dict(
            doc = """Capabilities of single files. Keys are absolute paths in the image, however the tar spells them (`app`, `./app` or \
`/app`). Values are [capability text](../capability-text.md); `""` removes the file's capabilities. Hard links to a file get \
the same ones. A path that the tar does not have is an error.

```starlark
file_capabilities = {"/usr/sbin/nginx": "cap_net_bind_service=ep"},
```""",
        ),
        "tar": attr.label(
            doc = "The tar: uncompressed, or compressed by gzip, zstd or xz. A `layer` is a tar too.",
            allow_files = True,
            mandatory = True,
        ),
    },
    provides = [LayerInfo],
)
