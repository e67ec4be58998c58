"""What the three rules share."""

def checked(python_version, kwargs):
    """The attributes for Bazel's own rule; one interpreter is all there is.

    Args:
      python_version: the version that the target asks for, or None.
      kwargs: the target's other attributes.

    Returns:
      The attributes without the version.
    """
    if python_version not in (None, "3.14", "PY3"):
        fail("only Python 3.14 is here, not {}".format(python_version))
    return kwargs
