"""Toolchains for the programs that `image_push` and `image_load` run.

By default they run the first supported program on `PATH`. To use a program that Bazel builds or fetches, declare a toolchain:

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

Then add `register_toolchains("//tools:crane_toolchain")` to `MODULE.bazel`. The program runs on the machine where the user
types `bazel run`, so `target_compatible_with` has the constraints of that machine.

Build actions and these programs also run a Python 3.14 interpreter, from a toolchain of type
`@rules_python//python:toolchain_type`. With `MODULE.bazel` there is nothing to declare: rules_setcap asks rules_python for it.
It does not change the Python version of other targets.
"""

load("//rules/private:clients.bzl", _container_engine = "container_engine", _registry_client = "registry_client")

container_engine = _container_engine
registry_client = _registry_client
