"""Limits on what is read from outside; a file that exceeds one is refused, and the message names it.

They bound time and memory for hostile input, and are far above what real images have.
"""

from __future__ import annotations

# Tars
EXTENSION = 1 << 20
"""Bytes of one extended header; as Go's archive/tar (maxSpecialFileSize)."""
SPARSE_BLOCKS = 1 << 14
"""Blocks of the map of an old GNU sparse file."""

# Root filesystems
NODES = 1_500_000
"""Files and directories of an image; each takes some 400 bytes of memory."""
LINKS = 40
"""Symbolic links on the way of one path: ELOOP, path_resolution(7)."""
PATH = 4096
"""Bytes of a path: PATH_MAX, linux/limits.h."""
CAPABILITY = 64
"""Bytes of a capability attribute that are read; every revision has fewer."""
TEXT = 4 << 20
"""Bytes of a text file that is read, such as /etc/passwd."""
SCRIPT = 64 << 10
"""Bytes of a script that is read; of a longer one the first line counts."""
SCRIPTS = 64 << 20
"""Bytes of all scripts of an image that are kept."""
PROGRAM = 64 << 20
"""Bytes of a program with capabilities in which the names of its libraries are looked for."""

# Images
JSON = 4 << 20
"""Bytes of a manifest, config or index; registries take no more."""
INDEX_DEPTH = 4
"""Indexes within indexes."""
ARCHIVE_FILES = 100_000
"""Files of an image archive."""
XZ_MEMORY = 128 << 20
"""Bytes of memory to decompress xz."""
