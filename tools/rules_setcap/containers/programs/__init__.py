"""Models of programs that execute another program: what each changes about the process, and what it executes.

To add a program:
  1. Write its model, a function `follow_NAME(call: Call) -> Execution | None` (containers/program_model.py), in the module of its kind: inits,
     passthrough (the credentials stay), users, daemontools, privileges, shells. options.parse_options() reads its options.
  2. Say in the docstring which program it is and where its behaviour is documented, or which version was measured.
  3. Raise NotFollowed wherever the model is not sure: "unknown" is a valid answer, a wrong one is not.
  4. Add the file name of the program to table.py, and its name to the table in docs/getcap.md.
  5. Add ways to call it to oracle.list_prefixes() of tests/getcap/oracle.py: programs_test runs them and compares.
"""
