"""Checks the documents and the names of images that a repository rule fetches.

They come from outside. Before the build reads a document, tools/rules_setcap/oci checks it again, and completely.
"""

visibility(["//rules/...", "//tests/...", "//tools/..."])

INDEX = "application/vnd.oci.image.index.v1+json"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"

_INDEXES = [INDEX, "application/vnd.docker.distribution.manifest.list.v2+json"]
_MANIFESTS = [MANIFEST, "application/vnd.docker.distribution.manifest.v2+json"]

# The limits of tools/rules_setcap/diagnostics/limits.py.
_IMAGES = 1000
_LAYERS = 500

_LOWER_CASE = "abcdefghijklmnopqrstuvwxyz"
_DIGITS = "0123456789"

def is_index(document):
    """Returns whether a document is an index: its media type says so, or it has none and lists manifests.

    Args:
      document: dict.

    Returns:
      bool.
    """
    return document.get("mediaType") in _INDEXES or (not document.get("mediaType") and "manifests" in document)

def find_index_fault(index):
    """Returns what is wrong with an index, as the end of a sentence; None if it is valid.

    Args:
      index: dict.

    Returns:
      str.
    """
    entries = index.get("manifests")
    if type(entries) != "list" or not entries:
        return "is an index without manifests"
    if len(entries) > _IMAGES:
        return "is an index of {} manifests (limit IMAGES: {})".format(len(entries), _IMAGES)
    for entry in entries:
        fault = _find_descriptor_fault(entry) or find_platform_name_fault(entry.get("platform"))
        if fault:
            return fault
    return None

def find_entry_fault(entry):
    """Returns why an entry of an index is not an image, as the end of a sentence; None if it is one.

    Args:
      entry: dict, a valid descriptor.

    Returns:
      str.
    """
    if entry.get("mediaType") in _INDEXES:
        return "is an index in an index; write its digest as digest"
    if entry.get("mediaType") not in _MANIFESTS:
        return "has the unknown media type {}; write the platforms to fetch".format(json.encode(entry.get("mediaType")))
    return None

def find_manifest_fault(manifest):
    """Returns what is wrong with a manifest, as the end of a sentence; None if it is valid.

    Args:
      manifest: dict.

    Returns:
      str.
    """
    layers = manifest.get("layers") or []
    if manifest.get("schemaVersion") == 1:
        return "is a Docker manifest of schema 1, which is not read; copy the image by \"skopeo copy --format=oci\", and pull the copy"
    if manifest.get("mediaType", MANIFEST) not in _MANIFESTS:
        return "is not a manifest of an image; its media type is {}".format(json.encode(manifest.get("mediaType")))
    if type(layers) != "list":
        return "has no list of layers"
    if len(layers) > _LAYERS:
        return "has {} layers (limit LAYERS: {})".format(len(layers), _LAYERS)
    for descriptor in [manifest.get("config")] + layers:
        fault = _find_descriptor_fault(descriptor)
        if fault:
            return fault
    return None

def _find_descriptor_fault(descriptor):
    fields = descriptor if type(descriptor) == "dict" else {}
    size = fields.get("size")
    if type(fields.get("digest")) != "string" or find_digest_fault(fields["digest"]) or type(size) != "int" or size < 0:
        return "has a descriptor that is not valid: " + json.encode(descriptor)[:200]
    return None

def find_digest_fault(text):
    """Returns what is wrong with a digest, as a sentence; None if it is valid.

    Args:
      text: str.

    Returns:
      str.
    """
    digits = text.removeprefix("sha256:")
    if len(digits) != 64 or digits == text or not _consists_of(digits, _DIGITS + "abcdef"):
        return "not a valid digest; write \"sha256:\" and 64 hexadecimal digits in lower case"
    return None

def find_tag_fault(text):
    """Returns what is wrong with a tag, as a sentence; None if it is valid.

    Args:
      text: str.

    Returns:
      str.
    """
    if len(text) > 128 or not _consists_of(text.lower(), _LOWER_CASE + _DIGITS + "_.-") or text[0] in ".-":
        return "not a valid tag; write up to 128 letters, digits, \"_\", \".\" and \"-\""
    return None

def find_image_name_fault(text):
    """Returns what is wrong with the name of an image without tag and digest, as a sentence; None if it is valid.

    Args:
      text: str.

    Returns:
      str.
    """
    host, _, path = text.partition("/")
    scheme, _, rest = text.partition("://")
    if rest:
        return "has the scheme {}; write {}".format(json.encode(scheme), json.encode(rest))
    if "@" in text:
        return "has a digest; write {}, and the digest as digest".format(json.encode(text.partition("@")[0]))
    if ":" in path:
        return "has a tag; write {}, and the tag as tag".format(json.encode(host + "/" + path.partition(":")[0]))
    if not path or not ("." in host or ":" in host or host == "localhost"):
        return "names no registry; write its host first, as \"registry.example/path\""
    if not _consists_of(host.lower(), _LOWER_CASE + _DIGITS + ".:-[]") or not host[0].isalnum() and host[0] != "[":
        return "{} is not a valid host; write \"registry.example/path\"".format(json.encode(host))
    if not _consists_of(path, _LOWER_CASE + _DIGITS + "._-/") or not path[-1].isalnum() or [part for part in path.split("/") if not part[:1].isalnum()]:
        return "{} is not a valid path of a repository; write lower-case letters and digits, and single \".\", \"_\", \"-\" and \"/\" between them".format(json.encode(path))
    return None

def find_platform_fault(text):
    """Returns what is wrong with a platform, as a sentence; None if it is valid.

    Args:
      text: str.

    Returns:
      str.
    """
    words = text.split("/")
    if len(words) not in (2, 3) or [word for word in words if not word]:
        return "not a valid platform; write os/architecture, as \"linux/amd64\" or \"linux/arm/v7\""
    return None

def is_loopback(image):
    """Returns whether the registry of an image is this machine.

    Args:
      image: str, host/path.

    Returns:
      bool.
    """
    host = image.partition("/")[0]
    if host.startswith("[::1]"):
        return True
    name = host.partition(":")[0]
    return name == "localhost" or (name.startswith("127.") and _consists_of(name, _DIGITS + "."))

def format_platform(platform):
    """Returns a platform of an index, or that of a config, as users write it; "" if it has none.

    Args:
      platform: a value from outside; a dict with os, architecture and variant if it is valid.

    Returns:
      str: os/architecture or os/architecture/variant.
    """
    fields = platform if type(platform) == "dict" else {}
    words = [fields.get(name) for name in ["os", "architecture", "variant"]]
    return "/".join([word for word in words if type(word) == "string" and word])

def find_platform_name_fault(platform):
    """Returns what is wrong with the names in a platform, as the end of a sentence; None if actions can take them as arguments.

    Args:
      platform: a value from outside, as format_platform() takes it.

    Returns:
      str.
    """
    name = format_platform(platform)
    if not _consists_of(name.lower(), _LOWER_CASE + _DIGITS + "._-/"):
        return "has a platform that is not valid: " + json.encode(name)[:200]
    return None

def matches_platform(platform, wanted):
    """Returns whether an image is for a platform; variants are compared if both have one.

    Args:
      platform: str, that of the image.
      wanted: str, os/architecture or os/architecture/variant.

    Returns:
      bool.
    """
    words = platform.split("/")
    wanted_words = wanted.split("/")
    return words[:2] == wanted_words[:2] and (len(words) < 3 or len(wanted_words) < 3 or words[2] == wanted_words[2])

def _consists_of(text, characters):
    return not [character for character in text.elems() if character not in characters]
