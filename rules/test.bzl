"""Tests of images.

- `capability_test` compares the capabilities of an image's files with the expected ones.
- `digest_test` compares the digest of an image with the expected one.
- `reproducibility_test` builds an image twice and compares both.
- `kubernetes_test` checks that Kubernetes manifests let the image's programs have their capabilities.

The image may be one of another ruleset. A finding fails the test. An invalid attribute fails the build.

```starlark
load("@rules_setcap//rules:test.bzl", "capability_test", "digest_test", "kubernetes_test")

capability_test(
    name = "capabilities_test",
    image = ":image",
    expected = {"/app/server": "cap_net_bind_service=p"},
)

digest_test(
    name = "digest_test",
    image = ":image",
    digest = "sha256:5c9f1a0e7f35a5d7b7fb0ab6ef0a8b7f7b84c5b2bd8c9a3b1d1d4f0e2a6c7d98",
)

kubernetes_test(
    name = "deployment_test",
    image = ":image",
    image_name = "registry.example/server",
    manifests = ["deployment.yaml"],
)
```
"""

load("//rules/private:image_tests.bzl", _capability_test = "capability_test", _digest_test = "digest_test", _kubernetes_test = "kubernetes_test")
load("//rules/private:reproducibility_test.bzl", _reproducibility_test = "reproducibility_test")

capability_test = _capability_test
digest_test = _digest_test
kubernetes_test = _kubernetes_test

def reproducibility_test(name, tags = [], timeout = "eternal", **kwargs):
    """Tests that an image is reproducible.

    Args:
      name: The target's name.
      tags: Tags besides those of every reproducibility_test.
      timeout: The limit of time, as for every test.
      **kwargs: The attributes of the rule. docs/reference/test.md describes them.
    """
    _reproducibility_test(
        name = name,
        # No result is reused, because the image may depend on what Bazel does not know.
        tags = list(tags or []) + ["external", "local", "manual", "reproducibility"],
        timeout = timeout,
        **kwargs
    )
