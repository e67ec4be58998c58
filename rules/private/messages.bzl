"""What is wrong with a target's attributes.

The packer says it (run_packer(problems = ...)), together with all that it finds itself:
fail() would stop at the rule's own and wrap them in a traceback.
"""

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
