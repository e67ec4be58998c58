"""A stand-in for the module extension go_sdk of rules_go. It does nothing, because the Go of PATH is used."""

go_sdk = module_extension(
    implementation = lambda _mctx: None,
    tag_classes = {"download": tag_class(attrs = {"version": attr.string()})},
)
