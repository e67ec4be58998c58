"""Linux file capabilities of container images, for Python programs.

These names are stable. The package rules_setcap, which implements them, is not.
"""

from rules_setcap.diagnostics import version
from rules_setcap.diagnostics.errors import InputError
from rules_setcap.imagecap.library import (
    Explanation,
    File,
    Image,
    NewImage,
    SetResult,
    explain,
    read_image,
    set_capabilities,
)

__version__ = version.VERSION

__all__ = [
    "Explanation",
    "File",
    "Image",
    "InputError",
    "NewImage",
    "SetResult",
    "__version__",
    "explain",
    "read_image",
    "set_capabilities",
]
