"""Tests of images.

The check runs in a build action, so its result is cached and can run remotely. The test prints the action's report.
"""

load("//rules:providers.bzl", "ImageIndexInfo", "ImageInfo")
load(":input_images.bzl", "ANY_IMAGE", "add_image_files", "find_image")
load(":messages.bzl", "format_label")
load(":python_tool.bzl", "PATH_MAPPING", "PythonToolInfo", "run_python_tool")

visibility(["//rules/...", "//tests/...", "//tools/..."])

_IMAGE_ATTRS = {
    "image": attr.label(
        doc = "The image: {}. Of an index, all images are tested.".format(ANY_IMAGE),
        allow_files = True,
        mandatory = True,
    ),
}

_TOOL_ATTRS = _IMAGE_ATTRS | {
    "_tool": attr.label(
        cfg = "exec",
        default = "//tools/rules_setcap/image_tests:tool",
        providers = [PythonToolInfo],
    ),
}

def _add_image(ctx, args, attribute = "image"):
    """Adds the image of an attribute to the arguments, or the problems with it. Returns the inputs, a depset of File."""
    problems = []
    image = find_image(attribute, getattr(ctx.attr, attribute), problems)
    args.add_all(problems, format_each = "--problem=%s")
    if image.file:
        add_image_files(args, "--" + attribute.replace("_", "-"), image)
    return image.files

def _add_name(args, flag, target):
    """Adds the arguments by which a message names an image: the label and the path that users type.

    Args:
      args: Args.
      flag: str, the flag.
      target: Target, the image.
    """
    image = find_image("image", target, [])
    if image.file:
        path = image.file.short_path
        path = "external/" + path.removeprefix("../") if path.startswith("../") else path
        names = [format_label(image.label), path if image.file.is_source else "bazel-bin/" + path]
        args.add(json.encode(names), format = flag + "=%s")

def _declare_test(ctx, subcommand, args, inputs):
    """Declares the action that checks the image, and the test that prints the action's report.

    Args:
      ctx: the context of a rule with _TOOL_ATTRS, or with KUBERNETES_ATTRS.
      subcommand: str, the subcommand of the tool.
      args: Args, the flags of the subcommand.
      inputs: depset of File.

    Returns:
      list of providers.
    """
    report = ctx.actions.declare_file(ctx.label.name + ".report.txt")
    _run_check(ctx, subcommand, args, report, inputs, "Testing %{label}")
    test = ctx.actions.declare_file(ctx.label.name)
    quoted_report = "'{}'".format(report.short_path.replace("'", "'\\''"))
    ctx.actions.write(test, _TEST.format(report = quoted_report), is_executable = True)
    return [DefaultInfo(executable = test, runfiles = ctx.runfiles([report]))]

def _run_check(ctx, subcommand, args, report, inputs, progress_message):
    """Declares the action of a check.

    Args:
      ctx: the context of a rule with _TOOL_ATTRS, or with KUBERNETES_ATTRS.
      subcommand: str, the subcommand of the tool.
      args: Args, the flags of the subcommand.
      report: File, the output.
      inputs: depset of File.
      progress_message: str, the line that Bazel shows while the action runs.
    """
    args.add(format_label(ctx.label), format = "--target=%s")
    args.add(report, format = "--report=%s")
    if hasattr(ctx.executable, "_command"):
        ctx.actions.run(
            executable = ctx.executable._command,
            arguments = [subcommand, args],
            inputs = inputs,
            outputs = [report],
            mnemonic = "SetcapImageTest",
            progress_message = progress_message,
            env = {},
            use_default_shell_env = False,
            toolchain = None,
            execution_requirements = PATH_MAPPING,
        )
    else:
        run_python_tool(
            ctx,
            ctx.attr._tool[PythonToolInfo],
            [subcommand, args],
            outputs = [report],
            inputs = inputs,
            mnemonic = "SetcapImageTest",
            progress_message = progress_message,
        )

# An empty report means that the test passes.
_TEST = """\
#!/bin/sh
cat {report} >&2 && [ ! -s {report} ]
"""

def _capability_test_impl(ctx):
    args = ctx.actions.args()
    args.add(json.encode(ctx.attr.expected), format = "--expected=%s")
    return _declare_test(ctx, "capabilities", args, _add_image(ctx, args))

capability_test = rule(
    doc = """Tests that the files of an image have exactly the expected capabilities. The files of the base are included.

The report lists every difference, and the value of `expected` with which the test would pass.""",
    implementation = _capability_test_impl,
    attrs = _TOOL_ATTRS | {
        "expected": attr.string_dict(
            doc = """The expected capabilities. Keys are absolute paths in the image, without symbolic links; values are \
[capability text](../capability-text.md). `{}` means that no file has capabilities.

```starlark
expected = {"/app/server": "cap_net_bind_service=p"},
```""",
            mandatory = True,
        ),
    },
    test = True,
)

def _digest_test_impl(ctx):
    args = ctx.actions.args()
    args.add(ctx.attr.digest, format = "--digest=%s")
    _add_name(args, "--image-name", ctx.attr.image)
    if ctx.attr.expected_image:
        _add_name(args, "--expected-name", ctx.attr.expected_image)
        inputs = [_add_image(ctx, args), _add_image(ctx, args, "expected_image")]
        return _declare_test(ctx, "digest", args, depset(transitive = inputs))
    if ImageInfo in ctx.attr.image:
        info = ctx.attr.image[ImageInfo]
        contents = [info.manifest, info.config]
    elif ImageIndexInfo in ctx.attr.image:
        info = ctx.attr.image[ImageIndexInfo]
        contents = [info.index] + [file for image in info.images for file in (image.manifest, image.config)]
    else:
        return _declare_test(ctx, "digest", args, _add_image(ctx, args))
    args.add(info.descriptor, format = "--image-descriptor=%s")
    args.add_all(contents, format_each = "--image-document=%s")
    return _declare_test(ctx, "digest", args, depset([info.descriptor] + contents))

digest_test = rule(
    doc = """Tests that an image or an index has the expected digest, so that a change, another machine or an upgrade cannot alter \
a byte unnoticed.

The report has the digests of the image and of its parts, the command that shows what differs, and the command that writes the \
new digest into the BUILD file. With `expected_image`, it has the differences themselves.""",
    implementation = _digest_test_impl,
    attrs = _TOOL_ATTRS | {
        "digest": attr.string(
            doc = "The digest of the manifest or the index, as registries show it: `sha256:...`.",
            mandatory = True,
        ),
        "expected_image": attr.label(
            doc = """An image that has the expected digest, for instance the last release, of the same kinds as `image`. If the image \
has another digest, the report has the differences from this image, as [`image_diff`](../image-diff.md) prints them. Without it, the \
report has the digests of the parts of the image.""",
            allow_files = True,
        ),
    },
    test = True,
)

def check_kubernetes(ctx, args, report, image, name, manifests, programs, bundle = None):
    """Declares the action that checks the containers of an image in manifests.

    Args:
      ctx: the context of a rule with KUBERNETES_ATTRS.
      args: Args, to which the flags are added.
      report: File, the output. It is empty if there are no findings.
      image: struct from find_image(), without problems.
      name: str, the name of the image in the manifests.
      manifests: list of File; [] if there is a bundle.
      programs: list of str, the paths of the programs that the containers run; [] to find them.
      bundle: File with manifests, which manifest_bundles.py has written.
    """
    if bundle:
        args.add(bundle, format = "--bundle=%s")
    add_image_files(args, "--image", image)
    _add_kubernetes_flags(ctx, args, name, manifests, programs)
    _run_check(ctx, "kubernetes", args, report, depset(manifests + ([bundle] if bundle else []), transitive = [image.files]), "Checking the manifests of %{label}")

def _add_kubernetes_flags(ctx, args, name, manifests, programs):
    """Adds the flags of the subcommand `kubernetes`, without the image; the arguments are those of check_kubernetes()."""
    args.add(name, format = "--name=%s")
    args.add(ctx.attr.runtime, format = "--runtime=%s")
    args.add(ctx.attr.pod_security, format = "--level=%s")
    args.add_all(manifests, format_each = "--manifest=%s")
    args.add_all(programs, format_each = "--program=%s")

def _kubernetes_test_impl(ctx):
    args = ctx.actions.args()
    _add_kubernetes_flags(ctx, args, ctx.attr.image_name, ctx.files.manifests, ctx.attr.programs)
    image = _add_image(ctx, args)
    return _declare_test(ctx, "kubernetes", args, depset(ctx.files.manifests, transitive = [image]))

# The attributes of rules that check manifests.
KUBERNETES_ATTRS = {
    "pod_security": attr.string(
        doc = """The level of the Pod Security Standards that the pods must satisfy: `privileged` (no restriction), `baseline` or \
`restricted`. Fixes in the report stay within this level; if no fix does, the report names the level that it needs.""",
        default = "privileged",
        values = ["privileged", "baseline", "restricted"],
    ),
    "runtime": attr.string(
        doc = "The container runtime of the nodes, with its version if that is not the newest: `containerd`, `cri-o@1.30`.",
        default = "containerd",
    ),
    "_command": attr.label(
        cfg = "exec",
        default = "//tools/rules_setcap/image_tests:kubernetes",
        executable = True,
    ),
}

kubernetes_test = rule(
    doc = """Tests that the containers of Kubernetes manifests that run an image get the capabilities of its files.

The report has the file, line, container and field of every finding, and what to write instead. A finding is: a runtime that \
would grant less than the file of the first program has; `allowPrivilegeEscalation: false` that takes capabilities away; a \
program that would not start; a manifest that cannot be read; a manifest that does not name the image.""",
    implementation = _kubernetes_test_impl,
    attrs = KUBERNETES_ATTRS | _IMAGE_ATTRS | {
        "image_name": attr.string(
            doc = "The image's name in the manifests: `registry.example/path`, with a tag or a digest if the manifests have images that differ only in these.",
            mandatory = True,
        ),
        "manifests": attr.label_list(
            doc = """YAML or JSON files with objects of the kinds Pod, Deployment, StatefulSet, DaemonSet, ReplicaSet, Job, CronJob, \
PodTemplate and List. In custom resources, such as an Argo Rollout, pod templates are read; one that names the image outside a \
pod template is a finding.""",
            allow_files = [".yaml", ".yml", ".json"],
            mandatory = True,
        ),
        "programs": attr.string_list(
            doc = """Absolute paths, in the image, of the programs that the containers run. The test follows entrypoints, init processes, \
shells and scripts to the program by itself. Set this attribute if the report says that it could not, or if the program has no \
capabilities and executes another one that has. By default, the test then covers every file of the image that has capabilities.""",
        ),
    },
    test = True,
)
