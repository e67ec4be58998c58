"""Linux file capabilities: names, the text of cap_from_text(3), the extended attribute."""

from .errors import CapabilityError
from .sets import FileCapabilities
from .text import from_list, from_text, to_text
from .xattr import decode, encode

__all__ = [
    "CapabilityError",
    "FileCapabilities",
    "decode",
    "encode",
    "from_list",
    "from_text",
    "to_text",
]
