"""A stand-in for go_binary of rules_go, which runs the Go of PATH."""

_COMMAND = "HOME=$$(mktemp -d) GOTOOLCHAIN=local CGO_ENABLED=0 GOARCH={} go build -trimpath -o $@ $(SRCS)"

def go_binary(name, srcs, pure = "auto", static = "auto", **kwargs):  # buildifier: disable=unused-variable
    native.genrule(
        name = name,
        srcs = srcs,
        outs = ["{name}_/{name}".format(name = name)],
        cmd = select({
            "@platforms//cpu:aarch64": _COMMAND.format("arm64"),
            "@platforms//cpu:x86_64": _COMMAND.format("amd64"),
        }),
        executable = True,
        local = True,
        **kwargs
    )
