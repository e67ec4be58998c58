"""Providers of the rules, which other rules may read and return.

```starlark
load("@rules_setcap//rules:providers.bzl", "ImageInfo")

def _digest_impl(ctx):
    descriptor = ctx.attr.image[ImageInfo].descriptor
    return [DefaultInfo(files = depset([descriptor]))]
```
"""

LayerInfo = provider(
    doc = "A layer. Its digests are in a file, because Bazel knows them only after the layer is built.",
    fields = {
        "blob": "File: the layer as registries store it.",
        "disabled_checks": "list of str: names of checks that are turned off for the programs of the layer.",
        "metadata": """File: JSON ([schema](schemas/layer-metadata.schema.json)) with `version` (1), `descriptor` (an OCI \
descriptor: mediaType, digest, size), `diff_id` (the digest of the uncompressed tar), `capabilities` (path to text of \
cap_to_text(3)), `created_by`, `contents` (the paths of the entries) and `programs` (the ELF headers of files with capabilities).""",
    },
)

ImageInfo = provider(
    doc = "An image for one platform.",
    fields = {
        "base_blobs": "list of File: the layers of the base that actions fetch from a registry, the lowest first.",
        "base_contents": "list of File: JSON, the list of the files of the base's layers that Bazel did not build; one file or none.",
        "base_layout_files": "depset of File: the inputs of an action that reads `base_layouts`, whose blobs may be links.",
        "base_layouts": "list of File: OCI layout directories that have the layers of the base, except `base_blobs`.",
        "base_search": "struct: how actions of these rules find files in `base_blobs`; None if there are none. Its fields may change.",
        "base_sources": "list of struct of `image` (str, the repository in the registry), `digest` (str, of the manifest) and `insecure` (bool): where `base_blobs` come from.",
        "config": "File: the OCI image config.",
        "descriptor": "File: the OCI descriptor of the manifest, with the platform.",
        "layers": "list of LayerInfo: the layers that Bazel builds, the lowest first.",
        "layout": "File: the image as an OCI layout directory.",
        "manifest": "File: the OCI image manifest.",
        "platform": "str: os/architecture or os/architecture/variant; empty if it is not known.",
        "sparse_layout": "File: `layout` without `base_blobs`; None if there are none.",
    },
)

ImageIndexInfo = provider(
    doc = "An image for several platforms.",
    fields = {
        "descriptor": "File: the OCI descriptor of the index.",
        "images": "list of ImageInfo: the images, in the order of the index.",
        "index": "File: the OCI image index.",
        "layout": "File: the index and its images as an OCI layout directory.",
        "sparse_layout": "File: `layout` without the `base_blobs` of its images; None if there are none.",
    },
)

PulledImageInfo = provider(
    doc = "An image in a registry, or an index of images, that the module extension `bases` declares.",
    fields = {
        "documents": "File: an OCI layout directory with the indexes, manifests and configs, and without layers.",
        "image": "str: the repository in the registry, `host/path`.",
        "images": """list of struct, one for each platform: `platform` (str: os/architecture or os/architecture/variant), `digest` (str, \
of the manifest), `layers` (list of File, the lowest first, each of which an action fetches) and `contents` (File: JSON, the list of \
the files of the image). Other fields may change.""",
        "insecure": "bool: whether the registry may have plain HTTP.",
    },
)

PushInfo = provider(
    doc = "An image, and where it is pushed. `image_push` returns it.",
    fields = {
        "blobs": "depset of File: the blobs of the layers, and the OCI layout directories that have the other blobs.",
        "description": "File: JSON for `image_release`, whose format may change: manifests, configs, digests, capabilities.",
        "descriptor": "File: the OCI descriptor of the image or the index; None for an image of another ruleset.",
        "destination": "File: JSON, an object with `repository` (empty if it is not set) and `tags`.",
        "image": "Label: the image.",
        "images": "list of ImageInfo: the image, or the images of the index; empty for an image of another ruleset.",
        "label": "Label: the target that pushes.",
        "layouts": "list of File: the OCI layout directories of bases and images that are not of these rules.",
        "source": "struct: the files of the image, for actions of these rules. Its fields may change.",
    },
)

ReleaseInfo = provider(
    doc = "The images of a release. `image_release` returns it.",
    fields = {
        "blobs": "depset of File: `PushInfo.blobs` of all images.",
        "descriptions": "depset of File: `PushInfo.description` of all images.",
        "pushes": "depset of PushInfo: the images, also those of releases in the release.",
    },
)

ClientInfo = provider(
    doc = "A program that pushes images to registries or loads them into container engines.",
    fields = {
        "kind": "str: which program it is, for instance `crane`; empty for the first supported program on PATH.",
        "program": "File: the program; None for a program on PATH.",
    },
)
