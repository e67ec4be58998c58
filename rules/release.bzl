"""The rule `image_release`: pushes many images to registries by one `bazel run`.

```starlark
load("@rules_setcap//rules:release.bzl", "image_release")

image_release(
    name = "release",
    images = [
        "//services/api:push",
        "//services/web:push",
        "//tools:release",
    ],
)
```

Push what the registries lack, and move the tags at the end:

    $ bazel run //:release -- --tag v42 --output digests.json
"""

load("//rules/private:release.bzl", _image_release = "image_release")

image_release = _image_release
