"""The module extension `bases`: base images from registries, for MODULE.bazel.

```starlark
bases = use_extension("@rules_setcap//rules:extensions.bzl", "bases")
bases.pull(
    name = "debian",
    digest = "sha256:...",
    image = "registry.example/debian",
    platforms = ["linux/amd64", "linux/arm64"],
    tag = "13",
)
use_repo(bases, "debian")
```

Then `base = "@debian"` in an `image`. Bazel fetches the manifest and the config of each platform. A layer is fetched when an
action reads it. See [bases](../bases.md).
"""

load("//rules/private:client_repository.bzl", "CLIENT_ATTRS", "CLIENT_LABEL", "CLIENT_REPOSITORY", "client_repository")
load("//rules/private:messages.bzl", "format_problem")
load("//rules/private:pull.bzl", "PULL_ATTRS", "pull_repository")

def _bases_impl(ctx):
    clients = [tag for module in ctx.modules if module.is_root for tag in module.tags.client]
    if len(clients) > 1:
        fail("bases.client: must be written at most once")
    for name in [name for client in clients for name in client.env]:
        if not name or "=" in name:
            fail("bases.client: " + format_problem("env", name, "not a valid name of a variable; the value is that of the environment of Bazel"))
    client_repository(
        name = CLIENT_REPOSITORY,
        **({name: getattr(clients[0], name) for name in CLIENT_ATTRS} if clients else {})
    )
    pulls = {}
    direct = {}
    for module in ctx.modules:
        for tag in module.tags.pull:
            values = {name: getattr(tag, name) for name in PULL_ATTRS}
            if pulls.setdefault(tag.name, values) != values:
                fail("bases.pull: name: \"{}\": is the name of two different images; module {} must choose another one".format(tag.name, module.name))
            if module.is_root:
                direct[tag.name] = direct.get(tag.name, True) and ctx.is_dev_dependency(tag)
    for name, values in pulls.items():
        pull_repository(
            name = name,
            apparent_name = name,
            client = CLIENT_LABEL,
            **values
        )
    return ctx.extension_metadata(
        reproducible = True,
        root_module_direct_deps = [name for name, is_dev in direct.items() if not is_dev],
        root_module_direct_dev_deps = [name for name, is_dev in direct.items() if is_dev],
    )

bases = module_extension(
    doc = "Fetches base images from registries.",
    implementation = _bases_impl,
    tag_classes = {
        "client": tag_class(
            attrs = CLIENT_ATTRS,
            doc = "Chooses the program that fetches: crane or skopeo. Without it, they are searched on `PATH`. Only the root module may use it.",
        ),
        "pull": tag_class(
            attrs = PULL_ATTRS | {
                "name": attr.string(
                    doc = """The name of the repository, for `use_repo`; `base = "@name"` is the image. All modules of a build share these names, so a \
module that others depend on should begin them with its own name.""",
                    mandatory = True,
                ),
            },
            doc = "An image in a registry, by its digest.",
        ),
    },
)
