"""Placeholders in attributes, which stand for values of Bazel's workspace status."""

visibility(["//rules/...", "//tests/...", "//tools/..."])

_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ_"
_LETTERS_AND_DIGITS = _LETTERS + "0123456789"

# Bazel's own keys of the stable status, which do not begin with STABLE_.
_STABLE_KEYS = ["BUILD_EMBED_LABEL", "BUILD_HOST", "BUILD_USER"]

def stamp_attrs(where):
    """Returns the attribute stamp.

    Args:
      where: str, the attributes that may have placeholders, for the documentation.

    Returns:
      dict of attributes.
    """
    return {
        "stamp": attr.bool(
            doc = """Whether to expand placeholders in {}. `{{KEY}}` stands for the value of KEY in Bazel's workspace status, \
for instance `{{STABLE_GIT_COMMIT}}` (from `--workspace_status_command`), `{{BUILD_EMBED_LABEL}}` (from `--embed_label`) or \
`{{BUILD_TIMESTAMP}}`. A key consists of capital letters, digits and underscores; other braces are ordinary text. `{{{{KEY}}}}` \
stands for the text `{{KEY}}`. A placeholder is an error if `stamp` is not set. See [Stamping](../layers.md#stamping).""".format(where),
        ),
    }

def find_placeholders(text):
    """Finds the placeholders in a text.

    The tool expands them (tools/rules_setcap/actions/stamps.py). A rule finds them only to choose the inputs of the action, so escaped
    placeholders are returned too.

    Args:
      text: str.

    Returns:
      list of str: their keys.
    """
    keys = [part.partition("}")[0] for part in text.split("{")[1:] if "}" in part]
    return [
        key
        for key in keys
        if key and key[0] in _LETTERS and not [character for character in key.elems() if character not in _LETTERS_AND_DIGITS]
    ]

def list_status_files(ctx, texts, has_files = False):
    """Returns the workspace status files that an action needs to expand placeholders.

    The volatile status changes with every build, so a remote cache never has the result of an action that reads it.

    Args:
      ctx: the context of a rule with stamp_attrs().
      texts: list of str, values that may have placeholders.
      has_files: bool, whether files may have placeholders too. Their keys are not known before the action runs.

    Returns:
      list of File; empty if the target is not stamped.
    """
    if not ctx.attr.stamp:
        return []
    keys = [key for text in texts for key in find_placeholders(text)]
    volatile = [key for key in keys if not key.startswith("STABLE_") and key not in _STABLE_KEYS]
    if has_files or not keys:
        return [ctx.info_file, ctx.version_file]
    return ([ctx.info_file] if len(volatile) < len(keys) else []) + ([ctx.version_file] if volatile else [])
