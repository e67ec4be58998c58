"""What the rules hand to each other and to yours."""

LayerInfo = provider(
    doc = "A layer. Digests are in files: Bazel knows them only once they are built.",
    fields = {
        "blob": "File: the layer as registries store it.",
        "disabled_checks": "list of str: names of checks that are off for the programs of the layer.",
        "metadata": """File: JSON with `descriptor` (OCI: mediaType, digest, size), `diff_id` \
(digest of the uncompressed tar), `capabilities` (path -> cap_to_text(3)), `created_by`, `contents` (the paths of its entries) \
and `programs` (the ELF headers of files with capabilities).""",
    },
)

ImageInfo = provider(
    doc = "An image for one platform.",
    fields = {
        "base_contents": "list of File: JSON that lists the files of the base's layers that were not built here; one file, or none.",
        "base_layout_files": "depset of File: the inputs of actions that read base_layouts, whose blobs may be links.",
        "base_layouts": "list of File: OCI layout directories that hold the layers of the base.",
        "config": "File: the OCI image config.",
        "descriptor": "File: the OCI descriptor of the manifest, with its platform.",
        "layers": "list of LayerInfo: the layers built here, the lowest first.",
        "layout": "File: the image as an OCI layout directory.",
        "manifest": "File: the OCI image manifest.",
        "platform": "str: os/architecture/variant, the last empty if the image has none.",
    },
)

ImageIndexInfo = provider(
    doc = "An image for several platforms.",
    fields = {
        "descriptor": "File: the OCI descriptor of the index.",
        "images": "list of ImageInfo: its images, in the index's order.",
        "index": "File: the OCI image index.",
        "layout": "File: the index and its images as an OCI layout directory.",
    },
)

ClientInfo = provider(
    doc = "A program that takes images to registries or container engines.",
    fields = {
        "kind": "str: which it is, as `crane`; empty for any that is on PATH.",
        "program": "File: the program; None for the one on PATH.",
    },
)
