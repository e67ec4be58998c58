"""The packer's subcommands, a module each, with

    run(arguments: Arguments, problems: list[str]) -> list[str] | None

`problems` are those that the rule found; a subcommand adds its own and raises InputError
with all of them. It returns remarks, which the action prints although it succeeds. It may
raise OSError.
"""
