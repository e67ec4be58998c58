"""Images of the monorepo by rules_img."""

load("@rules_img//img:image.bzl", "image_index", "image_manifest")
load("@rules_img//img:layer.bzl", "image_layer")

def library(name, files):
    """Defines a layer that several images share."""
    image_layer(name = name, srcs = {"/lib/" + name: files}, visibility = ["//visibility:public"])

def base(name, libraries):
    """Defines an image that others have as their base."""
    image_manifest(name = name, layers = libraries, visibility = ["//visibility:public"])

def service(name, shape, program, program_arm64, config, libraries):
    """Defines the image of a service.

    Args:
      name: the name of the target.
      shape: one of SHAPES in monorepo_files.py.
      program: the label of the program.
      program_arm64: the label of the program for the second platform, for the shape index; else "".
      config: the label of the configuration file.
      libraries: labels of layers that the service shares with others.
    """
    image_layer(name = name + "_config", srcs = {"/etc/app/config.yaml": config})
    image_layer(
        name = name + "_layer",
        srcs = select({
            "//build:arm64": {"/app/" + name: program_arm64},
            "//conditions:default": {"/app/" + name: program},
        }) if shape == "index" else {"/app/" + name: program},
        tags = ["manual"],
    )
    image_manifest(
        name = name + ("_image" if shape == "index" else ""),
        base = "//rules_img:base" if shape == "base" else None,
        entrypoint = ["/app/" + name],
        layers = libraries + [name + "_config", name + "_layer"],
        tags = ["manual"] if shape == "index" else [],
        user = "65532",
    )
    if shape == "index":
        image_index(name = name, manifests = [name + "_image"], platforms = ["//build:linux_amd64", "//build:linux_arm64"])
