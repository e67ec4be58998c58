"""The subcommand that checks a destination.

    destination  checks and resolves the repository and tags of an image
"""

NAMES = ("destination",)
