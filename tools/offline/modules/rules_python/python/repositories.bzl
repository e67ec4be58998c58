"""What a WORKSPACE file calls."""

load(":pythons_hub.bzl", "pythons_hub")

def py_repositories():
    """Declares what the module's own packages load."""
    pythons_hub(name = "pythons_hub", default_python_version = "")

def python_register_toolchains(name, python_version, **_kwargs):  # buildifier: disable=unused-variable
    """Registers Debian's Python.

    Args:
      name: unused, there is no repository to name.
      python_version: must be 3.14.
      **_kwargs: unused.
    """
    if python_version != "3.14":
        fail("only Python 3.14 is here, not {}".format(python_version))
    native.register_toolchains("@rules_python//python:debian_python_3_14")
