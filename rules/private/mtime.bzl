"""The attribute mtime: a number in BUILD files, a string in rules, for Bazel's integers end in 2038."""

def text_mtime(attributes):
    """Returns the attributes of a target with mtime as a string.

    Args:
      attributes: dict, as the user wrote them.

    Returns:
      dict.
    """
    mtime = attributes.get("mtime")
    return attributes | {"mtime": str(mtime)} if type(mtime) == "int" else attributes
