"""Imports a package of another repository, and reads a file of its runfiles."""

import pathlib

import assets
from assets.below import module

print(assets.__file__)
print(module.VALUE, (pathlib.Path(__file__).parent / "data.txt").read_text(), end="")
