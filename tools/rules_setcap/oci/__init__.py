"""OCI images: documents, layouts, archives of images, and merged root filesystems."""
