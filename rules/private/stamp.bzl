"""Placeholders in attributes, which stand for values of the workspace status."""

_CAPITALS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ_"
_KEY = _CAPITALS + "0123456789"

# Keys of the stable status that do not begin with STABLE_: Bazel's own.
_STABLE = ["BUILD_EMBED_LABEL", "BUILD_HOST", "BUILD_USER"]

def stamp_attrs(where):
    """Returns the attribute stamp.

    Args:
      where: str, the attributes that may have placeholders.

    Returns:
      dict of attributes.
    """
    return {
        "stamp": attr.bool(
            doc = """Whether placeholders are expanded: in {}, `{{KEY}}` stands for the value of KEY in Bazel's workspace status, \
for instance `{{STABLE_GIT_COMMIT}}` (`--workspace_status_command`), `{{BUILD_EMBED_LABEL}}` (`--embed_label`) or \
`{{BUILD_TIMESTAMP}}`. Without `stamp`, a placeholder is an error. A key has capital letters, digits and underscores; \
other braces are text, and `{{{{KEY}}}}` stands for the text `{{KEY}}`. See [Stamping](layers.md#stamping).""".format(where),
        ),
    }

def placeholders(text):
    """Returns the keys of the placeholders in a text, as tools/packer/stamps.py finds them.

    Args:
      text: str.

    Returns:
      list of str; more than there are, if some are escaped.
    """
    keys = [part.partition("}")[0] for part in text.split("{")[1:] if "}" in part]
    return [
        key
        for key in keys
        if key and key[0] in _CAPITALS and not [letter for letter in key.elems() if letter not in _KEY]
    ]

def status_files(ctx, texts, any_key = False):
    """Returns the status files that an action needs.

    The volatile status changes with every build: an action that has it among its inputs is not found in a remote cache.

    Args:
      ctx: the context of a rule with stamp_attrs().
      texts: list of str, values with placeholders.
      any_key: whether there may be other placeholders, in files.

    Returns:
      list of File; empty if the target is not stamped.
    """
    if not ctx.attr.stamp:
        return []
    keys = [key for text in texts for key in placeholders(text)]
    volatile = [key for key in keys if not key.startswith("STABLE_") and key not in _STABLE]
    if any_key or not keys:
        return [ctx.info_file, ctx.version_file]
    return ([ctx.info_file] if len(volatile) < len(keys) else []) + ([ctx.version_file] if volatile else [])
