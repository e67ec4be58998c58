"""Images loaded into docker, podman or nerdctl by `bazel run`.

```starlark
load("@rules_setcap//rules:load.bzl", "image_load")

image_load(
    name = "load",
    image = ":image",
    tag = "app:dev",
)
```

    $ docker run --rm $(bazel run //app:load)
    $ bazel build //app:load --output_groups=archive    # the same as a file, load.tar
"""

load("//rules/private:load.bzl", _image_load = "image_load")

image_load = _image_load
