"""Which programs `image_push` and `image_load` use, where those on `PATH` are not the ones.

```starlark
load("@rules_setcap//rules:toolchains.bzl", "registry_client")

registry_client(
    name = "crane",
    kind = "crane",
    program = "@crane_linux_amd64//:crane",
)

toolchain(
    name = "crane_toolchain",
    target_compatible_with = [
        "@platforms//cpu:x86_64",
        "@platforms//os:linux",
    ],
    toolchain = ":crane",
    toolchain_type = "@rules_setcap//rules:registry_client_toolchain_type",
)
```

and `register_toolchains("//tools:crane_toolchain")` in `MODULE.bazel`. The program runs on the machine where
`bazel run` is typed, so `target_compatible_with` says what that machine is.
"""

load("//rules/private:clients.bzl", _container_engine = "container_engine", _registry_client = "registry_client")

container_engine = _container_engine
registry_client = _registry_client
