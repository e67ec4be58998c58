"""python.toolchain, for the one version there is."""

def _python_impl(mctx):
    for module in mctx.modules:
        for tag in module.tags.toolchain:
            if tag.python_version != "3.14":
                fail("only Python 3.14 is here, not {}".format(tag.python_version))

python = module_extension(
    implementation = _python_impl,
    tag_classes = {"toolchain": tag_class(attrs = {
        "is_default": attr.bool(),
        "python_version": attr.string(mandatory = True),
    })},
)
