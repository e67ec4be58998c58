"""Follows shell scripts to the program that they execute, as far as a small part of the shell's language goes."""
