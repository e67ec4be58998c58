"""Images whose binaries hold Linux capabilities.

```starlark
load("@rules_setcap//rules:image.bzl", "image")

image(
    name = "image",
    binary = ":server",
    linux_capabilities = ["net_bind_service"],
    user = "65532",
)
```
"""

load("//rules/private:image.bzl", _image = "image")

image = _image
