"""The difference between the contents of two files, by what the files are."""

from __future__ import annotations

from rules_setcap.diff.content.compare import compare_contents

__all__ = ["compare_contents"]
