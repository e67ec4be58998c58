"""How execve(2) starts a file: ELF headers and the formats of other systems."""
