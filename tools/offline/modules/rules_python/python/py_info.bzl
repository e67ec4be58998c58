"""The provider of Python libraries."""

_PyInfo = PyInfo  # buildifier: disable=native-py

PyInfo = _PyInfo
