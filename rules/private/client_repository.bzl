"""The repository with the path and the environment of the client for registries."""

load(":messages.bzl", "format_label", "format_problem")

visibility(["//rules/...", "//tests/...", "//tools/..."])

# The repository that has the path and the environment of the client. There is one for all images.
CLIENT_REPOSITORY = "rules_setcap_registry_client"

_CLIENT_FILE = "private/client.json"

# The file of client_repository.
CLIENT_LABEL = "@{}//:{}".format(CLIENT_REPOSITORY, _CLIENT_FILE)

# The variables that crane, skopeo and their credential helpers read.
_VARIABLES = [
    "ALL_PROXY",
    "CONTAINERS_REGISTRIES_CONF",
    "DOCKER_CONFIG",
    "HOME",
    "HTTPS_PROXY",
    "HTTP_PROXY",
    "NO_PROXY",
    "PATH",
    "REGISTRY_AUTH_FILE",
    "SSL_CERT_DIR",
    "SSL_CERT_FILE",
    "TMPDIR",
    "XDG_CONFIG_HOME",
    "XDG_RUNTIME_DIR",
    "all_proxy",
    "http_proxy",
    "https_proxy",
    "no_proxy",
]

CLIENT_ATTRS = {
    "env": attr.string_list(
        doc = "Further environment variables that the client gets from the environment of Bazel, for instance `[\"AWS_PROFILE\"]` for a credential helper.",
    ),
    "kind": attr.string(
        doc = "Which program it is, `crane` or `skopeo`. Without `program`, only this one is searched on `PATH`.",
        values = ["", "crane", "skopeo"],
    ),
    "program": attr.label(
        allow_single_file = True,
        doc = "The program: a file of the source tree or of another repository.",
    ),
}

def _client_repository_impl(ctx):
    if ctx.attr.program:
        # No other program takes its place.
        found = struct(kind = ctx.attr.kind, kinds = [], path = _find_program(ctx))
    else:
        found = _search_client(ctx, [ctx.attr.kind] if ctx.attr.kind else ["crane", "skopeo"])
    environment = {name: ctx.getenv(name) for name in _VARIABLES + ctx.attr.env}
    client = {
        "environment": {name: value for name, value in environment.items() if value != None},
        "kind": found.kind,
        "kinds": found.kinds,
        "path": found.path,
    }

    # A proxy's address may have a password, so no other user may read the file, not even before its mode is set.
    made = ctx.execute(["mkdir", "-m", "700", "private"])
    if made.return_code:
        fail("bases.client: mkdir has not made a directory that only you can read: " + made.stderr)

    # Bazel 7 would encode the bytes of the environment as UTF-8 again.
    ctx.file(_CLIENT_FILE, json.encode_indent(client), executable = False, legacy_utf8 = False)
    ctx.file("BUILD.bazel", "exports_files([{}])\n".format(repr(_CLIENT_FILE)), executable = False)

def _find_program(ctx):
    """Returns the path of the program that the user names, and fails if it cannot run."""
    label = format_label(ctx.attr.program)
    if not ctx.attr.kind:
        fail("bases.client: " + format_problem("kind", "", "must be set; write which program {} is".format(label)))
    path = ctx.path(ctx.attr.program)
    ctx.watch(path)
    if not path.exists or ctx.execute(["sh", "-c", "test -x \"$0\"", path]).return_code:
        fail("bases.client: " + format_problem("program", label, "is not a file that can be executed"))
    return str(path)

client_repository = repository_rule(
    doc = """The path of crane or skopeo, and the environment that it needs.

The actions that fetch layers read the file, but it is not one of their inputs: their output depends on the digest alone, so that \
users with other paths share it in a remote cache.""",
    implementation = _client_repository_impl,
    attrs = CLIENT_ATTRS,
    configure = True,
    local = True,
)

def find_client(ctx, client_file):
    """Returns the client for a repository rule.

    Args:
      ctx: the context of the repository rule.
      client_file: Label of the file of client_repository.

    Returns:
      struct of kind (str, "crane" or "skopeo"), kinds (list of str, those that were searched; [] for a program that the user
      names) and path (str, "" if there is none).
    """

    # Another client, or another environment, does not change what is fetched.
    client = json.decode(ctx.read(ctx.path(client_file), watch = "no"))
    if not client["kinds"] or client["path"] and ctx.path(client["path"]).exists:
        return struct(kind = client["kind"], kinds = client["kinds"], path = client["path"])

    # Bazel does not notice that a program has been installed, so the file may be out of date.
    return _search_client(ctx, client["kinds"])

def _search_client(ctx, kinds):
    for kind in kinds:
        path = ctx.which(kind)
        if path:
            return struct(kind = kind, kinds = kinds, path = str(path))
    return struct(kind = "", kinds = kinds, path = "")
