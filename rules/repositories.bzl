"""Dependencies of rules_setcap for a WORKSPACE file. With MODULE.bazel, nothing of this is needed.

```starlark
load("@rules_setcap//rules:repositories.bzl", "rules_setcap_dependencies")

rules_setcap_dependencies()

load("@rules_python//python:repositories.bzl", "py_repositories", "python_register_toolchains")

py_repositories()

python_register_toolchains(
    name = "rules_setcap_python_3_14",
    python_version = "3.14",
    set_python_version_constraint = True,
)
```

Two packages of PyPI are needed as well: `deflate`, which compresses layers, and PyYAML, for `kubernetes_test`,
`ko_capabilities` and `bazel run @rules_setcap//tools/getcap`:

```python
load("@rules_python//python:pip.bzl", "pip_parse")

pip_parse(
    name = "rules_setcap_tools_pip",
    python_interpreter_target = "@rules_setcap_python_3_14_host//:python",
    requirements_lock = "@rules_setcap//tools:requirements.txt",
)

load("@rules_setcap_tools_pip//:requirements.bzl", "install_deps")

install_deps()
```

To use no package of PyPI, leave out these lines and write the following line into `.bazelrc`. zlib then compresses the layers,
and everything works but `kubernetes_test`, `ko_capabilities` and `getcap`:

```
build --@rules_setcap//rules:gzip_library=@rules_setcap//rules:zlib
```
"""

load("@bazel_tools//tools/build_defs/repo:http.bzl", "http_archive")
load("@bazel_tools//tools/build_defs/repo:utils.bzl", "maybe")
load("//rules/private:client_repository.bzl", "CLIENT_LABEL", "CLIENT_REPOSITORY", "client_repository")
load("//rules/private:pull.bzl", "pull_repository")

# buildifier: disable=unnamed-macro
def rules_setcap_dependencies():
    """Declares the repositories that the WORKSPACE file has not declared yet, and registers the toolchains of rules_setcap."""
    maybe(
        http_archive,
        name = "bazel_skylib",
        sha256 = "6e78f0e57de26801f6f564fa7c4a48dc8b36873e416257a92bbb0937eeac8446",
        urls = ["https://github.com/bazelbuild/bazel-skylib/releases/download/1.8.2/bazel-skylib-1.8.2.tar.gz"],
    )
    maybe(
        http_archive,
        name = "platforms",
        sha256 = "29742e87275809b5e598dc2f04d86960cc7a55b3067d97221c9abbc9926bff0f",
        urls = ["https://github.com/bazelbuild/platforms/releases/download/0.0.11/platforms-0.0.11.tar.gz"],
    )
    maybe(
        http_archive,
        name = "rules_python",
        sha256 = "f609f341d6e9090b981b3f45324d05a819fd7a5a56434f849c761971ce2c47da",
        strip_prefix = "rules_python-1.7.0",
        urls = ["https://github.com/bazel-contrib/rules_python/releases/download/1.7.0/rules_python-1.7.0.tar.gz"],
    )
    native.register_toolchains(
        "@rules_setcap//rules:container_engine_on_path",
        "@rules_setcap//rules:registry_client_on_path",
    )

def pull_base(name, image, digest = "", platforms = [], insecure = False, tag = ""):
    """Declares a base image in a registry, as the module extension `bases` does: `base = "@name"` in an `image`.

    Args:
      name: The name of the repository.
      image: As for [`bases.pull`](extensions.md#bases-pull), like the other arguments.
      digest: The digest.
      platforms: The platforms to fetch of an index.
      insecure: Whether to allow plain HTTP.
      tag: The tag, for the message without a digest.
    """
    if not native.existing_rule(CLIENT_REPOSITORY):
        client_repository(name = CLIENT_REPOSITORY)
    pull_repository(
        name = name,
        apparent_name = name,
        client = CLIENT_LABEL,
        digest = digest,
        image = image,
        insecure = insecure,
        platforms = platforms,
        tag = tag,
    )
