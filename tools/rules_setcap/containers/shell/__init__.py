"""Follows shell scripts to the program that they execute, as far as a small part of the shell's language goes.

  syntax             the parts of a parsed script
  words              reads the words of a script
  simple_commands    reads simple commands
  parse              parses a script
  frame              the state of a shell at one point of a script
  expand             expands words, as far as their values are known
  conditions         evaluates test, [ and [[
  run                the state of the run of a script
  variable_builtins  runs builtins that change variables, arguments or options
  builtins           runs simple commands
  evaluate           runs a script

Each module imports only those above it. The language is that of POSIX.1-2024, "Shell Command Language", and of bash(1).
"""
