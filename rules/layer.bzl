"""Layers whose files hold Linux capabilities.

```starlark
load("@rules_setcap//rules:layer.bzl", "layer")

layer(
    name = "tools",
    srcs = {"/usr/bin/": "//tools:binaries"},
    file_capabilities = {"/usr/bin/dumpcap": "cap_net_raw,cap_net_admin=eip"},
)
```
"""

load("//rules/private:layer.bzl", _layer = "layer")
load("//rules/private:mtime.bzl", "convert_mtime")

def layer(name, **kwargs):
    """Declares a layer.

    Args:
      name: the target's name.
      **kwargs: the attributes of the rule [`layer`](private/layer.bzl). `mtime` may be a number.
    """
    _layer(name = name, **convert_mtime(kwargs))
