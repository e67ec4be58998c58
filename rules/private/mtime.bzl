"""The attribute mtime: BUILD files may set it to a number; the rules take a string, because Bazel's integers end in 2038."""

visibility(["//rules/...", "//tests/...", "//tools/..."])

def convert_mtime(attributes):
    """Converts a numeric mtime into a string.

    Args:
      attributes: dict of attribute name to value, as the user wrote them.

    Returns:
      dict: the same attributes, with mtime as a string if it is set.
    """
    mtime = attributes.get("mtime")
    return attributes | {"mtime": str(mtime)} if type(mtime) == "int" else attributes
