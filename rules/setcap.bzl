"""Capabilities for the entries of a tar that another rule makes.

```starlark
load("@rules_pkg//pkg:tar.bzl", "pkg_tar")
load("@rules_setcap//rules:setcap.bzl", "setcap")

pkg_tar(
    name = "tar",
    srcs = [":server"],
    package_dir = "/app",
)

setcap(
    name = "layer",
    tar = ":tar",
    file_capabilities = {"/app/server": "cap_net_bind_service=p"},
)
```

What it gives is an entry of `layers` of our `image`, of `tars` of rules_oci's `oci_image`, and the
`src` of rules_img's `layer_from_tar`.
"""

load("//rules/private:setcap.bzl", _setcap = "setcap")

setcap = _setcap
