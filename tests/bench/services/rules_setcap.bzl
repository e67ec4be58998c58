"""Images of the monorepo by rules_setcap."""

load("@rules_setcap//rules:image.bzl", "image")
load("@rules_setcap//rules:index.bzl", "image_index")
load("@rules_setcap//rules:layer.bzl", "layer")

def library(name, files):
    """Defines a layer that several images share."""
    layer(name = name, srcs = {"/lib/" + name + "/": files}, visibility = ["//visibility:public"])

def base(name, libraries):
    """Defines an image that others have as their base."""
    image(name = name, layers = libraries, visibility = ["//visibility:public"])

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
    layer(name = name + "_config", srcs = {"/etc/app/config.yaml": config})
    image(
        name = name + ("_image" if shape == "index" else ""),
        base = "//rules_setcap:base" if shape == "base" else None,
        binary = select({
            "//build:arm64": program_arm64,
            "//conditions:default": program,
        }) if shape == "index" else program,
        layers = libraries + [name + "_config"],
        linux_capabilities = ["net_bind_service"],
        tags = ["manual"] if shape == "index" else [],
        user = "65532",
    )
    if shape == "index":
        image_index(name = name, image = name + "_image", platforms = ["//build:linux_amd64", "//build:linux_arm64"])
