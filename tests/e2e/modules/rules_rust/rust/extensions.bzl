"""A stand-in for the module extension rust of rules_rust. It declares no toolchains."""

def _empty_repo_impl(rctx):
    rctx.file("BUILD.bazel", "")

_empty_repo = repository_rule(implementation = _empty_repo_impl)

def _rust_impl(_mctx):
    _empty_repo(name = "rust_toolchains")

rust = module_extension(
    implementation = _rust_impl,
    tag_classes = {"toolchain": tag_class(attrs = {
        "edition": attr.string(),
        "versions": attr.string_list(),
    })},
)
