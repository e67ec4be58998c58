"""The rule `setcap`: assigns capabilities to files of a tar that another rule makes.

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

The target can be used in `layers` of an `image`, in `tars` of `oci_image` (rules_oci), and as `src` of `layer_from_tar`
(rules_img).
"""

load("//rules/private:setcap.bzl", _setcap = "setcap")

setcap = _setcap
