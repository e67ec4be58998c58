"""Functions for WORKSPACE files."""

load(":pythons_hub.bzl", "pythons_hub")

def py_repositories():
    """Declares the repository that the packages of this module load."""
    pythons_hub(name = "pythons_hub", default_python_version = "")

def python_register_toolchains(name, python_version, **_kwargs):  # buildifier: disable=unused-variable
    """Registers Debian's Python.

    Args:
      name: ignored, because no repository is declared.
      python_version: must be 3.14.
      **_kwargs: ignored.
    """
    if python_version != "3.14":
        fail("python_version: \"{}\": the private root has only Python 3.14".format(python_version))
    native.register_toolchains("@rules_python//python:debian_python_3_14")
