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

layer = _layer
