"""Runs commands as actions of Bazel: arguments, persistent workers, placeholders of the workspace status.

An action starts an interpreter, so the time of its imports counts. Modules that actions import may import `typing`, which takes
2 ms. They do not import `dataclasses`, which takes 6 to 11 ms because it loads `inspect`; named tuples, and classes with
__slots__, serve instead. (Python 3.11 and 3.14, x86-64, without site-packages; -X importtime measures it.) Modules that only
some actions need are imported where they are needed.
"""
