"""The rule `image_index`: images for several platforms under one name.

```starlark
load("@rules_setcap//rules:image.bzl", "image")
load("@rules_setcap//rules:index.bzl", "image_index")

image(
    name = "image",
    binary = ":server",
    linux_capabilities = ["net_bind_service"],
)

image_index(
    name = "index",
    image = ":image",
    platforms = [
        "//platforms:linux_amd64",
        "//platforms:linux_arm64",
    ],
)
```

Each platform is a `platform` target of your own:

```starlark
platform(
    name = "linux_arm64",
    constraint_values = [
        "@platforms//cpu:aarch64",
        "@platforms//os:linux",
    ],
)
```
"""

load("//rules/private:index.bzl", _image_index = "image_index")

image_index = _image_index
