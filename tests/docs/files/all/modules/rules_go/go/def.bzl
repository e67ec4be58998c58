"""A stand-in for go_binary of rules_go, which runs the Go of PATH."""

def go_binary(name, srcs, pure = "auto", static = "auto", **kwargs):  # buildifier: disable=unused-variable
    native.genrule(
        name = name,
        srcs = srcs,
        outs = ["{name}_/{name}".format(name = name)],
        cmd = "export HOME=$$(mktemp -d) GOTOOLCHAIN=local CGO_ENABLED={}; go build -trimpath -o $@ $(SRCS)".format(0 if pure == "on" else 1),
        executable = True,
        local = True,
        **kwargs
    )
