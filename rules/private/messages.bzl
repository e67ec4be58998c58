"""Errors at analysis: all of a target's at once, each with attribute and value."""

def label_text(label):
    """A label as its users type it.

    Args:
      label: Label.

    Returns:
      str: //package:name in the main repository, @@repo//package:name elsewhere.
    """
    text = str(label)
    return text[2:] if text.startswith("@@//") else text[1:] if text.startswith("@//") else text

def problem(attribute, value, what):
    """One problem.

    Args:
      attribute: str, the attribute's name.
      value: what it holds, as the user typed it.
      what: str, what is wrong and what would be right.

    Returns:
      str.
    """
    return "{}: {}: {}".format(attribute, json.encode(value), what)

def fail_with(ctx, problems):
    """Fails the target if there are problems.

    Args:
      ctx: the rule's context.
      problems: list of str, from problem().
    """
    if problems:
        target = label_text(ctx.label)
        fail("\n" + "\n".join(["{}: {}".format(target, text) for text in problems]))
