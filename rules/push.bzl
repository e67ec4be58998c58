"""The rule `image_push`: pushes an image to a registry by `bazel run`.

```starlark
load("@rules_setcap//rules:push.bzl", "image_push")

image_push(
    name = "push",
    image = ":image",
    repository = "localhost:5000/app",
    remote_tags = ["latest", "{STABLE_GIT_COMMIT}"],
    stamp = True,
)
```

The program prints the digest and the tags that it pushed:

    $ bazel run //app:push
    localhost:5000/app@sha256:52f0cf26...
    localhost:5000/app:latest
    localhost:5000/app:3f2c9d1
"""

load("//rules/private:delivery.bzl", "declare_program")
load("//rules/private:push.bzl", _image_push = "image_push")

def image_push(name, **kwargs):
    """Declares a program that pushes an image to a registry.

    Args:
      name: The target's name.
      **kwargs: The attributes of the rule. docs/reference/push.md describes them.
    """
    declare_program(_image_push, name, kwargs)
