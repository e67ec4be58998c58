"""The rule `image_load`: loads an image into docker, podman or nerdctl by `bazel run`.

```starlark
load("@rules_setcap//rules:load.bzl", "image_load")

image_load(
    name = "load",
    image = ":image",
    tag = "app:dev",
)
```

Load the image and run it:

    $ docker run --rm $(bazel run //app:load)

Write the image into an archive, `load.tar`:

    $ bazel build //app:load --output_groups=archive
"""

load("//rules/private:delivery.bzl", "declare_program")
load("//rules/private:load.bzl", _image_load = "image_load")

def image_load(name, **kwargs):
    """Declares a program that loads an image into a container engine.

    Args:
      name: The target's name.
      **kwargs: The attributes of the rule. docs/reference/load.md describes them.
    """
    declare_program(_image_load, name, kwargs)
