"""The packer's subcommands, a module each, with

    run(arguments: Arguments, problems: list[str]) -> None

`problems` are those that the rule found already; what is found here is said with them.
It raises InputError if the input is wrong, and OSError.
"""
