"""Output that the commands of getcap share."""

from __future__ import annotations

JSON_VERSION = 1
"""The value of the key `version` of every JSON object that the programs print.

It changes when a key is removed or gets another meaning. New keys do not change it.
"""
