"""The rule `ko_capabilities`: capabilities from the configuration of ko.

With this `.ko.yaml`, ko and Bazel assign the same capabilities:

```yaml
# .ko.yaml
builds:
- id: agent
  main: ./cmd/agent
  linux_capabilities: bpf,perfmon,net_admin=ep
```

```starlark
load("@rules_setcap//rules:image.bzl", "image")
load("@rules_setcap//rules:ko.bzl", "ko_capabilities")

ko_capabilities(
    name = "capabilities",
    build = "agent",
    config = ".ko.yaml",
)

image(
    name = "image",
    binary = "//cmd/agent",
    linux_capabilities_from = ":capabilities",
)
```
"""

load("//rules/private:ko.bzl", _ko_capabilities = "ko_capabilities")

ko_capabilities = _ko_capabilities
