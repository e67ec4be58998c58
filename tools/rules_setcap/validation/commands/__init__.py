"""The command of validation actions.

check  finds what keeps a program from starting, or from getting its capabilities
"""

NAMES = ("check",)
