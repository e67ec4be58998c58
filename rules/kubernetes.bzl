"""The rule `kubernetes_manifests`: Kubernetes manifests whose images have digests.

```starlark
load("@rules_setcap//rules:kubernetes.bzl", "kubernetes_manifests")

kubernetes_manifests(
    name = "deploy",
    srcs = ["deployment.yaml"],
    images = {"registry.example/app": ":push"},
)
```

Push the images, then apply the manifests:

    $ bazel run //app:push
    $ bazel run //app:deploy | kubectl apply -f -
"""

load("//rules/private:kubernetes_manifests.bzl", _kubernetes_manifests = "kubernetes_manifests")

kubernetes_manifests = _kubernetes_manifests
