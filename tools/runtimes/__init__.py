"""What people tell a container runtime about capabilities, and what a process has of them."""

from .process import Process, before_execve
from .runtime import Runtime, runtime
from .settings import Mount, Said, Settings

__all__ = [
    "Mount",
    "Process",
    "Runtime",
    "Said",
    "Settings",
    "before_execve",
    "runtime",
]
