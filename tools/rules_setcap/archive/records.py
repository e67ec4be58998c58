"""The names of pax records that hold extended attributes."""

CAPABILITY = b"security.capability"
"""The extended attribute that holds the capabilities of a file."""

XATTR = b"SCHILY.xattr."
"""The prefix of pax records that hold extended attributes; the name of the attribute follows it."""

CAPABILITY_RECORD = XATTR + CAPABILITY
"""The pax record that container engines turn into the extended attribute `security.capability`."""

CAPABILITY_TWIN = b"LIBARCHIVE.xattr.security.capability"
"""The record that bsdtar writes beside CAPABILITY_RECORD, with the same value in base64."""

OVERLAY = XATTR + b"trusted.overlay."
"""The prefix of pax records that hold the attributes of overlayfs."""
