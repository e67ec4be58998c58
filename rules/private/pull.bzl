"""Repositories with the documents of images in registries: indexes, manifests and configs, and no layer."""

load(":client_repository.bzl", "find_client")
load(":messages.bzl", "format_problem", "remove_controls")
load(
    ":pulled_documents.bzl",
    "INDEX",
    "MANIFEST",
    "find_digest_fault",
    "find_entry_fault",
    "find_image_name_fault",
    "find_index_fault",
    "find_manifest_fault",
    "find_platform_fault",
    "find_platform_name_fault",
    "find_tag_fault",
    "format_platform",
    "is_index",
    "is_loopback",
    "matches_platform",
)

visibility(["//rules/...", "//tests/...", "//tools/..."])

# Bytes of a manifest or config: the limit JSON of tools/rules_setcap/diagnostics/limits.py.
_LIMIT = 4 << 20

# The time limit of one call of the client, in seconds.
_TIMEOUT = 300

PULL_ATTRS = {
    "digest": attr.string(
        doc = """The digest of the image, or of an index with images for several platforms: `sha256:...`. Without it, the build \
fails, and the message has the digest that the tag has at that time.""",
    ),
    "image": attr.string(
        doc = "The image, without a tag: `host/path` or `host:port/path`.",
        mandatory = True,
    ),
    "insecure": attr.bool(
        doc = "Whether to allow plain HTTP, and certificates that cannot be verified. This is always allowed for a registry on this machine.",
    ),
    "platforms": attr.string_list(
        doc = """The platforms to fetch of an index: `os/architecture` or `os/architecture/variant`, for instance `[\"linux/amd64\"]`. \
The default is all of them. If `digest` is that of an image and not of an index, its platform must be one of these.""",
    ),
    "tag": attr.string(
        doc = "The tag that `update_bases` looks up. The build does not use it.",
    ),
}

# The client prints a document. `head` ends a client that prints more than a document may have.
_SCRIPT = """output=$1 limit=$2; shift 2
{ "$@"; echo "$?" > "$output.status"; } | head -c "$limit" > "$output"
read -r status < "$output.status"
exit "$status"
"""

def _pull_repository_impl(ctx):
    _check_attributes(ctx)
    client = find_client(ctx, ctx.attr.client)
    if not client.path:
        instead = "install {}, or name one with bases.client in MODULE.bazel".format(" or ".join(client.kinds))
        _fail(ctx, "image", ctx.attr.image, "no client for registries on PATH; " + instead)
    if not ctx.attr.digest:
        _report_missing_digest(ctx, client)
    top = _fetch_document(ctx, client, ctx.attr.digest)
    if is_index(top):
        _check_document(ctx, ctx.attr.digest, find_index_fault(top))
        entries = _choose_entries(ctx, top["manifests"])
        for entry in entries:
            _check_document(ctx, entry["digest"], find_entry_fault(entry))
        images = [_fetch_image(ctx, client, entry, _fetch_document(ctx, client, entry["digest"])) for entry in entries]
    else:
        size = _find_size(ctx, ctx.attr.digest)
        entries = [{"digest": ctx.attr.digest, "mediaType": top.get("mediaType") or MANIFEST, "size": size}]
        images = [_fetch_image(ctx, client, entries[0], top)]
        _check_platform(ctx, images[0].platform)
    _write_repository(ctx, top, entries, images)
    return ctx.repo_metadata(reproducible = True) if hasattr(ctx, "repo_metadata") else None

pull_repository = repository_rule(
    doc = "The documents of an image in a registry, as an OCI image layout without layers.",
    implementation = _pull_repository_impl,
    attrs = PULL_ATTRS | {
        "apparent_name": attr.string(
            doc = "The name of the repository in messages, and of its target.",
            mandatory = True,
        ),
        "client": attr.label(
            allow_single_file = True,
            doc = "The file of client_repository.",
            mandatory = True,
        ),
    },
)

def _check_attributes(ctx):
    """Fails with a message for each attribute that is not valid."""
    faults = [
        ("image", ctx.attr.image, find_image_name_fault(ctx.attr.image)),
        ("digest", ctx.attr.digest, find_digest_fault(ctx.attr.digest) if ctx.attr.digest else None),
        ("tag", ctx.attr.tag, find_tag_fault(ctx.attr.tag) if ctx.attr.tag else None),
    ] + [("platforms", platform, find_platform_fault(platform)) for platform in ctx.attr.platforms]
    problems = [_format(ctx, attribute, value, fault) for attribute, value, fault in faults if fault]
    if problems:
        fail("\n".join([""] + problems))

def _report_missing_digest(ctx, client):
    """Fails with the digest that the tag has at this time."""
    tag = ctx.attr.tag or "latest"
    output = "tag.json"
    done = _run_client(ctx, client, output, "{}:{}".format(ctx.attr.image, tag))
    if done.return_code:
        _fail(ctx, "digest", "", "must be set, and {} has not found the tag {}: {}".format(client.kind, json.encode(tag), _quote_output(done)))
    digest = _find_digest(ctx, output)
    _fail(ctx, "digest", "", "must be set; {}:{} has this digest today, so write\n    digest = \"{}\",".format(ctx.attr.image, tag, digest))

def _fetch_image(ctx, client, entry, manifest):
    """Fetches the config of an image, and returns what the build needs to know about the image.

    Args:
      ctx: the context of the repository rule.
      client: struct from find_client().
      entry: dict, the descriptor of the manifest.
      manifest: dict, the manifest.

    Returns:
      struct of digest (str), layers (list of struct of digest and size) and platform (str).
    """
    _check_document(ctx, entry["digest"], find_manifest_fault(manifest))
    digest = manifest["config"]["digest"]
    config = _fetch_document(ctx, client, digest, entry["digest"])
    platform = entry.get("platform") if type(entry.get("platform")) == "dict" else config
    _check_document(ctx, digest, find_platform_name_fault(platform))
    return struct(
        digest = entry["digest"],
        layers = [struct(digest = layer["digest"], size = layer["size"]) for layer in manifest.get("layers") or []],
        platform = format_platform(platform),
    )

def _choose_entries(ctx, entries):
    """Returns the descriptors of the manifests for the attribute platforms; fails if there is none for one of them."""
    if not ctx.attr.platforms:
        return entries
    chosen = []
    problems = []
    for wanted in ctx.attr.platforms:
        matching = [entry for entry in entries if matches_platform(format_platform(entry.get("platform")), wanted)]
        chosen += [entry for entry in matching if entry not in chosen]
        if not matching:
            problems.append(_format(ctx, "platforms", wanted, "the index has no image for it; it has " + ", ".join(_list_platforms(entries))))
    if problems:
        fail("\n".join([""] + problems))
    return chosen

def _check_platform(ctx, platform):
    """Fails if the only image is for none of the platforms."""
    if ctx.attr.platforms and not [wanted for wanted in ctx.attr.platforms if matches_platform(platform, wanted)]:
        _fail(ctx, "platforms", ctx.attr.platforms, "the digest is that of an image for {}; write the digest of the index, or this platform".format(platform))

def _list_platforms(entries):
    platforms = [format_platform(entry.get("platform")) for entry in entries]
    return sorted({platform: None for platform in platforms if platform and not platform.startswith("unknown")})

def _write_repository(ctx, top, entries, images):
    """Writes the files of the layout beside the documents, and the BUILD file."""
    if is_index(top) and not ctx.attr.platforms:
        entries = [{"digest": ctx.attr.digest, "mediaType": top.get("mediaType") or INDEX, "size": _find_size(ctx, ctx.attr.digest)}]
    names = ["mediaType", "digest", "size", "platform"]
    entries = [{name: entry[name] for name in names if name in entry} for entry in entries]
    ctx.file("index.json", json.encode({"schemaVersion": 2, "mediaType": INDEX, "manifests": entries}), executable = False)
    ctx.file("oci-layout", json.encode({"imageLayoutVersion": "1.0.0"}), executable = False)
    ctx.file("BUILD.bazel", _BUILD.format(
        client = repr(str(ctx.attr.client)),
        image = repr(ctx.attr.image),
        images = "".join(["\n        {},".format(repr(json.encode(image))) for image in images]),
        insecure = _is_insecure(ctx),
        name = repr(ctx.attr.apparent_name),
        rule = repr(str(Label(":pulled_image.bzl"))),
    ), executable = False)

_BUILD = """\
load({rule}, "pulled_image")

pulled_image(
    name = {name},
    client = {client},
    documents = glob(["blobs/**"]) + ["oci-layout"],
    image = {image},
    images = [{images}
    ],
    index = "index.json",
    insecure = {insecure},
    visibility = ["//visibility:public"],
)
"""

def _fetch_document(ctx, client, digest, manifest_digest = None):
    """Fetches a document into the layout, verifies its digest, and returns its value.

    Args:
      ctx: the context of the repository rule.
      client: struct from find_client().
      digest: str.
      manifest_digest: str, the digest of the manifest if the document is a config.

    Returns:
      dict.
    """
    output = "fetched/" + digest.removeprefix("sha256:")
    done = _run_client(ctx, client, output, "{}@{}".format(ctx.attr.image, manifest_digest or digest), digest if manifest_digest else None)
    if done.return_code:
        _fail(ctx, "image", ctx.attr.image, "{} has not fetched {}: {}".format(client.kind, digest, _quote_output(done)))

    # Bazel has no other function that verifies a digest.
    downloaded = ctx.download(url = _file_url(ctx, output), output = _blob_path(digest), sha256 = digest.removeprefix("sha256:"), allow_fail = True)
    if not downloaded.success:
        fault = "{} has fetched something of another digest for {}: {}"
        _fail(ctx, "image", ctx.attr.image, fault.format(client.kind, digest, _find_digest(ctx, output)))
    ctx.delete("fetched")
    value = json.decode(_read(ctx, digest), default = None)
    if type(value) != "dict":
        _check_document(ctx, digest, "is not a JSON object of at most {} bytes (limit JSON)".format(_LIMIT))
    return value

def _run_client(ctx, client, output, reference, config_digest = None):
    """Runs the client, which writes a manifest, an index or a config to a file.

    Args:
      ctx: the context of the repository rule.
      client: struct from find_client().
      output: str, the path of the file.
      reference: str, the image, with a tag or the digest of a manifest.
      config_digest: str, the digest of the config if that is wanted.

    Returns:
      exec_result.
    """
    insecure = _is_insecure(ctx)
    if client.kind == "crane":
        command = ["blob", "{}@{}".format(ctx.attr.image, config_digest)] if config_digest else ["manifest", reference]
        command = (["--insecure"] if insecure else []) + command
    else:
        command = ["inspect", "--raw"] + (["--config"] if config_digest else []) + (["--tls-verify=false"] if insecure else []) + ["docker://" + reference]
    ctx.file(output, "", executable = False)
    script = ["sh", "-c", _SCRIPT, "sh", str(ctx.path(output)), str(_LIMIT + 1), client.path]
    done = ctx.execute(script + command, timeout = _TIMEOUT)
    ctx.delete(output + ".status")
    return done

def _is_insecure(ctx):
    return ctx.attr.insecure or is_loopback(ctx.attr.image)

def _blob_path(digest):
    return "blobs/sha256/" + digest.removeprefix("sha256:")

def _read(ctx, digest):
    return ctx.read(_blob_path(digest), watch = "no")

def _find_size(ctx, digest):
    """Returns the size of a document in bytes. A string that Bazel reads has characters."""
    return int(ctx.execute(["wc", "-c", _blob_path(digest)]).stdout.strip().split(" ")[0])

def _find_digest(ctx, path):
    """Returns the digest of a file."""
    downloaded = ctx.download(url = _file_url(ctx, path), output = "hashed", allow_fail = True)
    if not downloaded.success:
        instead = "leave out --repository_disable_download, or build with a directory of bazel vendor"
        _fail(ctx, "image", ctx.attr.image, "Bazel refuses to verify a document, because downloads are disabled; " + instead)
    return "sha256:" + downloaded.sha256

def _file_url(ctx, path):
    return "file://" + str(ctx.path(path)).replace("%", "%25").replace(" ", "%20").replace("#", "%23").replace("?", "%3F")

def _quote_output(done):
    """Returns the last lines that the client printed, as one line."""
    lines = [line.strip() for line in done.stderr.splitlines() if line.strip()]
    return remove_controls(" / ".join(lines[-3:])) or "exit code {}".format(done.return_code)

def _check_document(ctx, digest, fault):
    """Fails if there is a fault."""
    if fault:
        _fail(ctx, "image", ctx.attr.image, remove_controls("{} {}".format(digest, fault)))

def _fail(ctx, attribute, value, fault):
    fail("\n" + _format(ctx, attribute, value, fault))

def _format(ctx, attribute, value, fault):
    return "@{}: {}".format(ctx.attr.apparent_name, format_problem(attribute, value, fault))
