"""The limits on input from outside: one table, with units and reasons.

A file that exceeds a limit is refused, and the message has the name and the value of the limit. The limits bound time and memory
for hostile input: any input of 1 MiB takes less than 30 s and 256 MiB. Real images and manifests are far below them.
"""

from __future__ import annotations

# Work: see archive/budget.py. The unit is a decompressed byte of zstd, which decompresses zeros at some 10 GB/s.
WORK_FREE = 32 << 30
"""Work that any input may take: that of 32 GiB of zeros in zstd, or of 1 GiB in another codec."""
WORK_PER_BYTE = 1 << 15
"""Work that each byte of the input adds. This is zstd's largest ratio, 128 KiB in a block of 4 bytes (RFC 8878, 3.1.1.2), so that
one pass over a file in zstd, or in gzip (1032:1), is never refused."""
WORK_READ = 256 << 10
"""Work of one read(). A tar takes at least one for each member, for its header."""
WORK_DECODED = 32
"""Work of a byte from gzip, xz or bzip2, which decompress zeros at 0.3 to 0.5 GB/s."""
WORK_COPIED = 16
"""Work of a byte from zstd that is hashed and written."""
MEMORY_FREE = 96 << 20
"""Bytes of memory that the paths, links and extended attributes of any input may take, an estimate."""
MEMORY_PER_BYTE = 64
"""Bytes of memory that each byte of the input adds. A file of a real image takes some 1 KB of memory and has more than 16
compressed bytes."""
MEMORY_NODE = 400
"""Bytes of memory of a file or directory of a merged root filesystem, without its name."""

# Codecs
XZ_MEMORY = 128 << 20
"""Bytes of memory to decompress xz; `xz -9` needs 65 MiB."""
ZSTD_WINDOW_LOG = 27
"""Base-2 logarithm of a zstd frame's window in bytes: 128 MiB, as zstd(1) reads without --long. containerd reads 512 MiB."""

# Tars
EXTENSION = 1 << 20
"""Bytes of one extended header. Go's archive/tar has the same limit (maxSpecialFileSize)."""
RECORDS = 8_000_000
"""Pax records and pieces of sparse files in one archive; each takes about a microsecond."""
SPARSE_BLOCKS = 2047
"""Blocks of the map of an old GNU sparse file. Go's archive/tar reads 1 MiB of it."""

# Root filesystems
NODES = 200_000
"""Files and directories of an image; each takes some 400 bytes of memory. BYTES_A_NODE allows more in a large image."""
BYTES_A_NODE = 32
"""Stored bytes of a layer that allow one more file or directory; files of real images take more."""
PATHS = 64 << 20
"""Bytes of all paths of an image; each stored byte of a layer allows one more."""
STEPS = 20_000_000
"""Components of paths, and of targets of symbolic links, that are looked up to apply the layers of an image."""
LAYERS = 500
"""Layers of an image. This is the limit of overlayfs (OVL_MAX_STACK, fs/overlayfs/super.c); Docker's is 125."""
LINKS = 40
"""Symbolic links that the lookup of one path follows: ELOOP, path_resolution(7)."""
PATH = 4096
"""Bytes of a path: PATH_MAX, linux/limits.h."""
CAPABILITY = 64
"""Bytes of `security.capability` that are read; every revision has fewer."""
TEXT = 4 << 20
"""Bytes of a text file that is read, such as /etc/passwd."""
SCRIPT_TEXT = 64 << 10
"""Bytes of a script that is read; of a longer script, only the first line is read."""
SCRIPT_TEXTS = 16 << 20
"""Bytes of all scripts of an image that are kept."""
PROGRAM = 32 << 20
"""Bytes of a program with capabilities that are searched for the names of its libraries."""
SCRIPT = 256
"""Bytes of a script's first line that the kernel reads: BINPRM_BUF_SIZE, linux/binfmts.h."""

# Images
JSON = 4 << 20
"""Bytes of a manifest, config or index; registries have the same limit."""
JSON_BYTES = 32 << 20
"""Bytes of all manifests, configs and indexes of an archive or a layout together."""
JSON_VALUES = 200_000
"""Values in all these documents together; each takes some 300 bytes of memory."""
JSON_DEPTH = 100
"""Levels of arrays and objects in one document."""
IMAGES = 1000
"""Images of an archive or a layout."""
INDEX_DEPTH = 4
"""Indexes within indexes."""
ARCHIVE_FILES = 20_000
"""Files of an image archive."""
ARCHIVE_NAMES = 16 << 20
"""Bytes of their names and link targets together."""
STANDARD_INPUT = 64 << 30
"""Bytes of an image on standard input, which is copied to a temporary file."""

# ELF programs
ELF_HEADERS = 1 << 12
"""Program headers; linkers write about ten."""
ELF_DYNAMIC = 1 << 20
"""Bytes of the dynamic section."""
ELF_STRINGS = 16 << 20
"""Bytes of the string table of the dynamic section."""
ELF_LIBRARIES = 1 << 10
"""Libraries that a program needs (DT_NEEDED)."""
ELF_NAME = PATH
"""Bytes of the name of a library, or of the loader (PT_INTERP)."""
ELF_RUNPATH = 1 << 16
"""Bytes of DT_RPATH or DT_RUNPATH."""
ELF_TEXT = 1 << 17
"""Bytes of all names of a program's libraries, which its metadata holds."""

# Contents of files that differ
CONTENT_INSIDE, CONTENT_INSIDE_PER_BYTE = 1 << 30, 16
"""Bytes that are read from within compressed files and archives to compare two files, and the bytes that each of their bytes adds.
A file within a file within a file counts each time."""
CONTENT_READ = 1 << 12
"""Bytes that a read of them counts more than it returns."""
CONTENT_MEMBER = 64 << 20
"""Bytes of a file within a file that is copied, to compare it by what it is; larger ones are compared byte by byte."""
CONTENT_DEPTH = 5
"""Levels of files within files: the files of a Debian package are at the fourth."""
CONTENT_MEMBERS = 1 << 16
"""Members of an archive within an image; each takes some 700 bytes of memory."""
CONTENT_TABLE = 16 << 20
"""Bytes of the table of contents of a zip archive, or of the table of names of an ar archive."""
CONTENT_DIFFERING = 256 << 20
"""Bytes of blocks that differ, after which the bytes that differ are not counted any more; 1 MiB takes about 10 ms."""
CONTENT_RANGES = 8
"""Ranges of bytes that differ that are looked at."""
CONTENT_SECTIONS = 1 << 14
"""Sections of an ELF file; one with -ffunction-sections has some thousands."""
CONTENT_SECTION_NAMES = 4 << 20
"""Bytes of the names of the sections of an ELF file."""
CONTENT_STRINGS, CONTENT_STRING_COUNT = 4 << 20, 50_000
"""Bytes of a section that are searched for strings, and strings that are compared."""
CONTENT_TEXT = 1 << 20
"""Bytes of a text that is compared as a whole; of a longer one, the lines from the first difference on."""
CONTENT_LINES = 60
"""Lines that describe the difference of two files."""
CONTENT_CAUSES = 8
"""Causes of the difference of two files."""

# Differences between images
CHANGES = 50_000
"""Changes that are kept; each takes some 400 bytes of memory. Further changes are counted."""
DISPLACED = 64 << 20
"""Bytes of memory for entries of a layer that are in another place of the order than in the other layer, an estimate."""
DESCRIBED_FILES = 2000
"""Files of a layer whose contents are looked at to describe how they differ."""
DESCRIBED_BYTES = 8 << 30
"""Bytes of these files together; those of large files are copied to temporary files."""

# Texts
VALUES = 1 << 20
"""Bytes of a file of labels, annotations or variables."""
CAPABILITIES_FILE = 1 << 16
"""Bytes of a JSON file with the capabilities of one path."""
KO_CONFIG = 1 << 18
"""Bytes of a .ko.yaml."""
COMPARED = 1 << 19
"""Characters of all paths that a misspelt path is compared with, for a suggestion."""
YAML = 16 << 20
"""Bytes of a YAML file; the manifests of a large operator with all its resource definitions are 4 MB."""
YAML_NODES_FREE, YAML_BYTES_PER_NODE = 200_000, 8
"""Values that any YAML file may have, and the bytes of it that allow one more value; each takes some 500 bytes of memory."""
YAML_DEPTH = 100
"""Levels of mappings and lists."""
YAML_VALUES = 2_000_000
"""Values of a YAML document, with every alias written out."""

# Execution logs of Bazel
LOG_ENTRY = 64 << 20
"""Bytes of one entry; the entry of a directory has some 100 bytes for each of its files."""
LOG_ENTRIES = 10_000_000
"""Entries of a log; each takes some 300 bytes of memory. A build of 100,000 actions writes about a million."""
TRACED = 256 << 20
"""Bytes of a file that are searched for the values that two builds varied."""
FAULTS = 20
"""Places where two builds parted that a report describes."""
