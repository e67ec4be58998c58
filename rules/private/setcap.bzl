"""The rule setcap."""

load("//rules:providers.bzl", "LayerInfo")
load(":messages.bzl", "label_text", "named", "problem")
load(":pack.bzl", "BLOB_ATTRS", "blob_outputs", "check_blob", "file_capabilities")
load(":packer.bzl", "packer_request", "run_packer")

def _setcap_impl(ctx):
    problems = []
    tars = [ctx.attr.tar[LayerInfo].blob] if LayerInfo in ctx.attr.tar else ctx.files.tar
    if len(tars) != 1 or tars[0].is_directory:
        problems.append(problem("tar", label_text(ctx.attr.tar.label), "{} files; a layer is one tar".format(len(tars))))
        tars = []
    check_blob(ctx, problems)
    request = packer_request(ctx, "setcap")
    for tar in tars:
        named(request, "tar", ctx.attr.tar.label, tar)
    info = blob_outputs(ctx, ctx.label.name, request, file_capabilities(ctx, removable = True))
    request.add_all(tars, format_each = "--tar=%s")
    request.add(ctx.attr.existing_capabilities, format = "--existing=%s")
    if ctx.attr.revision_2:
        request.add("--revision-2=yes")
    run_packer(
        ctx,
        request,
        outputs = [info.blob, info.metadata],
        inputs = tars,
        tools = ctx.files._libdeflate,
        mnemonic = "SetcapTar",
        progress_message = "Setting capabilities in layer %{label}",
        problems = problems,
    )
    return [
        DefaultInfo(files = depset([info.blob])),
        OutputGroupInfo(metadata = depset([info.metadata])),
        info,
    ]

setcap = rule(
    doc = """A tar, from whatever rule, as a layer whose files hold other capabilities.

All else is as it was, byte for byte: names, owners, times, order, padding. If nothing changes, `diff_id` is the \
digest of the tar that came in.""",
    implementation = _setcap_impl,
    attrs = BLOB_ATTRS | {
        "existing_capabilities": attr.string(
            doc = """Of capabilities that `file_capabilities` does not name: `keep` them, `strip` them, or have an error \
where there are any, so that there are `only` those that are named.""",
            default = "keep",
            values = ["keep", "only", "strip"],
        ),
        "file_capabilities": attr.string_dict(
            doc = """Absolute path in the image -> [what to write](capability-text.md), or `""` to remove what is there. \
However the tar spells the path (`app`, `./app`, `/app`); one that it does not have is an error. Hard links to a file \
get what it gets.""",
        ),
        "revision_2": attr.bool(
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
