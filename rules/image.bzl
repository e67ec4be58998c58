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
load("//rules/private:mtime.bzl", "convert_mtime")

def image(name, **kwargs):
    """Declares an OCI image.

    Args:
      name: the target's name.
      **kwargs: the attributes of the rule [`image`](private/image.bzl). `mtime` may be a number.
    """
    _image(name = name, **convert_mtime(kwargs))
