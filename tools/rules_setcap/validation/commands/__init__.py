"""The subcommand of validation actions.

    check  finds what would keep a program from starting, or from its capabilities
"""

NAMES = ("check",)
