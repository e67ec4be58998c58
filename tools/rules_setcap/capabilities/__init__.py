"""Linux file capabilities: names, the text of cap_from_text(3), the extended attribute, and the rules of execve(2)."""

from rules_setcap.capabilities.errors import CapabilityError
from rules_setcap.capabilities.file_capabilities import FileCapabilities, from_list, from_text, from_xattr

__all__ = [
    "CapabilityError",
    "FileCapabilities",
    "from_list",
    "from_text",
    "from_xattr",
]
