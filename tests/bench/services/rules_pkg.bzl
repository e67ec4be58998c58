"""Layers of the monorepo by pkg_tar of rules_pkg. Nothing makes an image of them."""

load("@rules_pkg//pkg:tar.bzl", "pkg_tar")

def _pack(name, srcs, directory, include_runfiles = False):
    pkg_tar(
        name = name,
        srcs = srcs,
        extension = "tar.gz",
        include_runfiles = include_runfiles,
        package_dir = directory,
        visibility = ["//visibility:public"],
    )

def library(name, files):
    """Defines a layer that several images share."""
    _pack(name, [files], "/lib/" + name)

def base(name, libraries):
    """Defines the layers of a base."""
    native.filegroup(name = name, srcs = libraries, visibility = ["//visibility:public"])

def service(name, shape, program, program_arm64, config, libraries):
    """Defines the layers of a service.

    Args:
      name: the name of the target.
      shape: one of SHAPES in monorepo_files.py.
      program: the label of the program.
      program_arm64: the label of the program for the second platform, for the shape index; else "".
      config: the label of the configuration file.
      libraries: labels of layers that the service shares with others.
    """
    _pack(name + "_config", [config], "/etc/app")
    _pack(name + "_layer", [program], "/app", True)
    layers = libraries + [name + "_config", name + "_layer"]
    if shape == "index":
        _pack(name + "_arm64", [program_arm64], "/app", True)
        layers.append(name + "_arm64")
    if shape == "base":
        layers.append("//rules_pkg:base")
    native.filegroup(name = name, srcs = layers)
