"""The subcommands that assemble and unpack images.

attributes    checks and resolves the attributes of an image
contents      lists the merged root filesystem of a base image
export        writes a layout as one tar archive
image         writes config, manifest and descriptor of an image from the metadata of its layers
index         writes an image index from the descriptors of images
index-layout  links the layouts of images into the layout of their index
layout        links blobs into an OCI image layout
link          links the files of an OCI image layout into a directory
unpack        unpacks an archive of an image, or copies an OCI image layout
"""

NAMES = ("attributes", "contents", "export", "image", "index", "index-layout", "layout", "link", "unpack")
