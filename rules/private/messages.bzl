"""Problems of a target's attributes.

The packer reports them (run_packer(problems = ...)), together with all that it finds itself:
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

def named(args, attribute, label, file):
    """Adds the label of a file to the arguments of an action: its messages show the label in place of the path.

    Args:
      args: Args from packer_request().
      attribute: str, the attribute that names the file.
      label: Label.
      file: File.
    """
    prefix = json.encode([attribute, label_text(label)]).replace("%", "%%")
    args.add_all([file], format_each = "--named=" + prefix + "=%s", expand_directories = False)

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
