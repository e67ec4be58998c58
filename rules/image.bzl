"""The rule `image`: an OCI image whose files have Linux capabilities.

```starlark
load("@rules_setcap//rules:image.bzl", "image")

image(
    name = "image",
    binary = ":server",
    linux_capabilities = ["net_bind_service"],
    user = "65532",
)
```

`bazel build` writes the manifest, the config and the descriptor; with `--output_groups=oci_layout`, an OCI image layout directory.
"""

load("//rules/private:image.bzl", _image = "image")
load("//rules/private:mtime.bzl", "convert_mtime")

def image(name, **kwargs):
    """Declares an OCI image.

    Args:
      name: The target's name.
      **kwargs: The attributes of the rule. docs/reference/image.md describes them.
    """
    _image(name = name, **convert_mtime(kwargs))
