"""The rule setcap."""

load("//rules:providers.bzl", "ImageIndexInfo", "ImageInfo", "LayerInfo")
load(":checks.bzl", "CHECK_ATTRS", "check_programs")
load(":messages.bzl", "label_text", "named", "problem")
load(":pack.bzl", "BLOB_ATTRS", "blob_outputs", "check_blob", "file_capabilities")
load(":packer.bzl", "packer_request", "run_packer")
load(":threads.bzl", "thread_count")

def _setcap_impl(ctx):
    problems = []
    tars = [ctx.attr.tar[LayerInfo].blob] if LayerInfo in ctx.attr.tar else ctx.files.tar
    what = _not_a_tar(ctx.attr.tar, tars)
    if what:
        problems.append(problem("tar", label_text(ctx.attr.tar.label), what))
        tars = []
    check_blob(ctx, problems)
    request = packer_request(ctx, "setcap")
    for tar in tars:
        named(request, "tar", ctx.attr.tar.label, tar)
    info = blob_outputs(ctx, ctx.label.name, request, file_capabilities(ctx, removable = True))
    request.add_all(tars, format_each = "--tar=%s")
    request.add(ctx.attr.existing_capabilities, format = "--existing=%s")
    if ctx.attr.drop_zero_rootid:
        request.add("--drop-zero-rootid=yes")
    run_packer(
        ctx,
        request,
        outputs = [info.blob, info.metadata],
        inputs = tars,
        tools = ctx.files._libdeflate,
        threads = thread_count(ctx),
        mnemonic = "SetcapTar",
        progress_message = "Setting capabilities in layer %{label}",
        problems = problems,
    )
    return [
        DefaultInfo(files = depset([info.blob])),
        OutputGroupInfo(
            metadata = depset([info.metadata]),
            _validation = depset(check_programs(ctx, [struct(attribute = "file_capabilities", info = info, disabled_checks = [])])),
        ),
        LayerInfo(blob = info.blob, disabled_checks = ctx.attr.disabled_checks, metadata = info.metadata),
    ]

def _not_a_tar(target, files):
    """Returns what a target is, and what to write instead; "" if it may be a tar."""
    of_image = "to set capabilities of an image's files, write image(name = ..., base = \"{}\", file_capabilities = {{...}})".format(label_text(target.label))
    if ImageInfo in target or ImageIndexInfo in target:
        return "an image, and setcap takes one tar; " + of_image
    if len(files) == 1 and files[0].is_directory:
        return "a directory, and setcap takes one tar; " + of_image
    if len(files) != 1:
        return "{} files, and setcap takes one tar; name a target that has only that".format(len(files))
    return ""

setcap = rule(
    doc = """A tar, from whatever rule, as a layer whose files hold other capabilities.

All else is as it was, byte for byte: names, owners, times, order, padding. If nothing changes, `diff_id` is the \
digest of the tar that came in.""",
    implementation = _setcap_impl,
    attrs = BLOB_ATTRS | CHECK_ATTRS | {
        "existing_capabilities": attr.string(
            doc = """Of capabilities that `file_capabilities` does not name: `keep` them, `strip` them, or have an error \
where there are any, so that there are `only` those that are named.""",
            default = "keep",
            values = ["forbid", "keep", "remove"],
        ),
        "file_capabilities": attr.string_dict(
            doc = """Absolute path in the image -> [what to write](capability-text.md), or `""` to remove what is there. \
However the tar spells the path (`app`, `./app`, `/app`); one that it does not have is an error. Hard links to a file \
get what it gets.""",
        ),
        "drop_zero_rootid": attr.bool(
            doc = "Whether capabilities of revision 3 with rootid 0, which melange writes, become revision 2, which they are to the kernel.",
        ),
        "tar": attr.label(
            doc = "A tar, plain or compressed by gzip, zstd or xz; or a `layer`.",
            allow_files = True,
            mandatory = True,
        ),
    },
    provides = [LayerInfo],
)
