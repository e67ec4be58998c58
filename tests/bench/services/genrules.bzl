"""Layers of the monorepo by genrules with tar, sha256sum and gzip. Nothing makes an image of them."""

_COMMAND = """
tar --create --dereference --sort=name --mtime=@0 --owner=0 --group=0 --numeric-owner --file=$(RULEDIR)/{name}.tar $(SRCS)
sha256sum $(RULEDIR)/{name}.tar > $(location {name}.diff_id)
gzip -n < $(RULEDIR)/{name}.tar > $(location {name}.tar.gz)
sha256sum $(location {name}.tar.gz) > $(location {name}.digest)
rm $(RULEDIR)/{name}.tar
"""

def _pack(name, srcs):
    native.genrule(
        name = name,
        srcs = srcs,
        outs = [name + ".tar.gz", name + ".diff_id", name + ".digest"],
        cmd = _COMMAND.format(name = name),
        visibility = ["//visibility:public"],
    )

def library(name, files):
    """Defines a layer that several images share."""
    _pack(name, [files])

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
    _pack(name + "_config", [config])
    _pack(name + "_layer", [program, program + "_data"])
    layers = libraries + [name + "_config", name + "_layer"]
    if shape == "index":
        _pack(name + "_arm64", [program_arm64])
        layers.append(name + "_arm64")
    if shape == "base":
        layers.append("//genrules:base")
    native.filegroup(name = name, srcs = layers)
