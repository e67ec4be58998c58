"""Calls the real libcap, the reference for the capability language.

setcap became stricter about the effective set of a file (2.66 still accepts `cap_chown=e`), so the tests need a version that
refuses it.
"""

from __future__ import annotations

import ctypes
import os
import pathlib
import subprocess
from typing import NamedTuple

from support import require

_BITS = 64
_EFFECTIVE, _PERMITTED, _INHERITABLE = range(3)  # cap_flag_t


class Sets(NamedTuple):
    """The three sets of a cap_t: bit n is set if capability n is in the set."""

    permitted: int
    inheritable: int
    effective: int


class Libcap:
    """The functions cap_from_text(3) and cap_to_text(3)."""

    def __init__(self) -> None:
        self._lib = require.library("libcap.so.2")
        pointer, text = ctypes.c_void_p, ctypes.c_char_p
        flag = ctypes.POINTER(ctypes.c_int)
        for name, result, arguments in (
            ("cap_init", pointer, []),
            ("cap_from_text", pointer, [text]),
            ("cap_to_text", pointer, [pointer, pointer]),
            ("cap_free", ctypes.c_int, [pointer]),
            ("cap_get_flag", ctypes.c_int, [pointer, ctypes.c_int, ctypes.c_int, flag]),
            ("cap_set_flag", ctypes.c_int, [pointer, ctypes.c_int, ctypes.c_int, flag, ctypes.c_int]),
        ):
            function = getattr(self._lib, name)
            function.restype, function.argtypes = result, arguments

    def from_text(self, text: str) -> Sets | None:
        """Returns the sets that cap_from_text(3) makes of a text; None if it refuses the text."""
        cap = self._lib.cap_from_text(text.encode())
        if not cap:
            return None
        try:
            return Sets(*(self._read_set(cap, flag) for flag in (_PERMITTED, _INHERITABLE, _EFFECTIVE)))
        finally:
            self._lib.cap_free(cap)

    def to_text(self, sets: Sets) -> str:
        """Returns the text that cap_to_text(3) makes of the sets."""
        cap = self._lib.cap_init()
        try:
            for flag, bits in ((_PERMITTED, sets.permitted), (_INHERITABLE, sets.inheritable), (_EFFECTIVE, sets.effective)):
                for number in range(_BITS):
                    if bits >> number & 1:
                        assert self._lib.cap_set_flag(cap, flag, 1, ctypes.byref(ctypes.c_int(number)), 1) == 0
            text = self._lib.cap_to_text(cap, None)
            try:
                return ctypes.string_at(text).decode()
            finally:
                self._lib.cap_free(text)
        finally:
            self._lib.cap_free(cap)

    def _read_set(self, cap: int, flag: int) -> int:
        value = ctypes.c_int()
        bits = 0
        for number in range(_BITS):
            assert self._lib.cap_get_flag(cap, number, flag, ctypes.byref(value)) == 0
            bits |= (value.value != 0) << number
        return bits


class Setcap:
    """The program setcap(8), on a file of its own."""

    def __init__(self, directory: pathlib.Path) -> None:
        """Checks that setcap is strict and that the directory is on a file system with extended attributes."""
        require.root()
        self._program = require.tool("setcap")
        self._file = directory / "setcap"
        self._file.touch()
        if self.bytes("cap_chown=p") is None:
            require.missing("a file system that keeps security.capability")
        if self.bytes("cap_chown=e") is not None:
            require.missing("a setcap newer than 2.66, which refuses cap_chown=e")

    def bytes(self, text: str) -> bytes | None:
        """Returns the value that setcap writes for a text; None if it refuses the text."""
        done = subprocess.run([self._program, text, str(self._file)], stderr=subprocess.DEVNULL)
        return None if done.returncode else os.getxattr(self._file, "security.capability")
