"""Models of programs that start another program: what each changes about the process, and what it executes."""
