"""The rule `layer`: a layer of files, some of which have Linux capabilities.

```starlark
load("@rules_setcap//rules:layer.bzl", "layer")

layer(
    name = "tools",
    srcs = {"/usr/bin/": "//tools:binaries"},
    file_capabilities = {"/usr/bin/dumpcap": "cap_net_raw,cap_net_admin=eip"},
)
```

Add the target to `layers` of an `image`.
"""

load("//rules/private:layer.bzl", _layer = "layer")
load("//rules/private:mtime.bzl", "convert_mtime")

def layer(name, **kwargs):
    """Declares a layer.

    Args:
      name: The target's name.
      **kwargs: The attributes of the rule. docs/reference/layer.md describes them.
    """
    _layer(name = name, **convert_mtime(kwargs))
