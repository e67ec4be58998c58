"""Tests of images: what their files carry, and what a cluster makes of that.

```starlark
load("@rules_setcap//rules:test.bzl", "capability_test", "kubernetes_test")

capability_test(
    name = "capabilities_test",
    image = ":image",
    expected = {"/app/server": "cap_net_bind_service=p"},
)

kubernetes_test(
    name = "deployment_test",
    image = ":image",
    image_name = "registry.example/server",
    manifests = ["deployment.yaml"],
)
```
"""

load("//rules/private:verdict.bzl", _capability_test = "capability_test", _kubernetes_test = "kubernetes_test")

capability_test = _capability_test
kubernetes_test = _kubernetes_test
