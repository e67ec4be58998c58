"""Messages about the attributes of a target.

A rule collects its problems in a list and hands them to an action (`run_request(problems = ...)`). The action reports them
together with the problems that it finds itself. `fail()` would report only the first one, inside a traceback.
"""

visibility(["//rules/...", "//tests/...", "//tools/..."])

def format_label(label):
    """Returns a label as users type it.

    Args:
      label: Label.

    Returns:
      str: `//package:name` in the main repository, `@@repository//package:name` elsewhere.
    """
    text = str(label)
    return text[2:] if text.startswith("@@//") else text[1:] if text.startswith("@//") else text

def remove_controls(text):
    """Returns text from outside that a terminal shows as it is.

    Args:
      text: str.

    Returns:
      str: one line of ASCII. "?" stands for every other character, because some control characters are not ASCII.
    """
    return "".join([character if " " <= character and character <= "~" else "?" for character in text.elems()])

def format_problem(attribute, value, explanation):
    """Returns the message for one problem.

    Args:
      attribute: str, the attribute's name.
      value: the attribute's value, or the part of it that is wrong, as the user wrote it.
      explanation: str, what is wrong and what to write instead.

    Returns:
      str.
    """
    return "{}: {}: {}".format(attribute, json.encode(value), explanation)
