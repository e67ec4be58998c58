"""What people tell a container runtime about capabilities, and what a process has of them."""

from .process import Process, before_execve
from .settings import Mount, Said, Settings
from .versions import Runtime, runtime

__all__ = [
    "Mount",
    "Process",
    "Runtime",
    "Said",
    "Settings",
    "before_execve",
    "runtime",
]
