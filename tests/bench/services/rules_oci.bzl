"""Images of the monorepo by rules_oci, with layers by pkg_tar of rules_pkg."""

load("@rules_oci//oci:defs.bzl", "oci_image", "oci_image_index")
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

def _assemble(name, layers, architecture = "amd64", **kwargs):
    from_base = kwargs if "base" in kwargs else kwargs | {"architecture": architecture, "os": "linux"}
    oci_image(name = name, tars = layers, visibility = ["//visibility:public"], **from_base)

def library(name, files):
    """Defines a layer that several images share."""
    _pack(name, [files], "/lib/" + name)

def base(name, libraries):
    """Defines an image that others have as their base."""
    _assemble(name, libraries)

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
    _pack(name + "_config", [config], "/etc/app")
    programs = {name + "_amd64": program, name + "_arm64": program_arm64} if shape == "index" else {name: program}
    for image, binary in programs.items():
        _pack(image + "_layer", [binary], "/app", True)
        _assemble(
            image,
            libraries + [name + "_config", image + "_layer"],
            architecture = "arm64" if binary == program_arm64 and shape == "index" else "amd64",
            entrypoint = ["/app/" + name],
            user = "65532",
            **({"base": "//rules_oci:base"} if shape == "base" else {})
        )
    if shape == "index":
        oci_image_index(name = name, images = list(programs))
