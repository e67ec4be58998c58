"""Linux file capabilities: names, the text of cap_from_text(3), the extended attribute."""

from rules_setcap.capabilities.errors import CapabilityError
from rules_setcap.capabilities.sets import FileCapabilities
from rules_setcap.capabilities.text import from_list, from_text, to_text
from rules_setcap.capabilities.xattr import decode, encode

__all__ = [
    "CapabilityError",
    "FileCapabilities",
    "decode",
    "encode",
    "from_list",
    "from_text",
    "to_text",
]
