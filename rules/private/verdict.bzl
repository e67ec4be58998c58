"""Tests of images. The check runs in a build action, so its result is cached; the test prints the action's report."""

load("//rules:providers.bzl", "ImageIndexInfo", "ImageInfo")
load(":foreign.bzl", "ANY_IMAGE", "find_image")
load(":messages.bzl", "label_text")
load(":packer.bzl", "PATH_MAPPING", "PackerInfo", "isolated")

_VERDICT_ATTRS = {
    "image": attr.label(
        doc = "The image: {}. Of several platforms, all images are tested.".format(ANY_IMAGE),
        allow_files = True,
        mandatory = True,
    ),
}

_TOOL_ATTRS = _VERDICT_ATTRS | {
    "_tool": attr.label(
        cfg = "exec",
        default = "//tools/rules_setcap/image_tests:tool",
        providers = [PackerInfo],
    ),
}

def _image(ctx, args):
    """Adds the image to the arguments, or the problem with it; returns the inputs."""
    problems = []
    image = find_image("image", ctx.attr.image, problems)
    args.add_all(problems, format_each = "--problem=%s")
    args.add_all([image.file] if image.file else [], format_each = "--image=%s", expand_directories = False)
    return image.files

def _verdict(ctx, subject, args, inputs):
    """Declares the action and the test that prints its report.

    Args:
      ctx: the context of a rule with _VERDICT_ATTRS, and _tool or _command.
      subject: str, the subcommand of tools/verdicts.
      args: Args, the flags of the subcommand.
      inputs: depset of File.

    Returns:
      list of providers.
    """
    report = ctx.actions.declare_file(ctx.label.name + ".report.txt")
    args.add(label_text(ctx.label), format = "--target=%s")
    args.add(report, format = "--report=%s")
    if hasattr(ctx.executable, "_command"):
        executable, arguments, tools = ctx.executable._command, [], []
    else:
        tool = ctx.attr._tool[PackerInfo]
        executable, arguments, tools = tool.interpreter, [isolated(ctx, tool)], [tool.files]
    ctx.actions.run(
        executable = executable,
        arguments = arguments + [subject, args],
        inputs = inputs,
        tools = tools,
        outputs = [report],
        mnemonic = "SetcapVerdict",
        progress_message = "Testing %{label}",
        env = {},
        use_default_shell_env = False,
        toolchain = None,
        execution_requirements = PATH_MAPPING,
    )
    test = ctx.actions.declare_file(ctx.label.name)
    quoted = "'{}'".format(report.short_path.replace("'", "'\\''"))
    ctx.actions.write(test, _TEST.format(report = quoted), is_executable = True)
    return [DefaultInfo(executable = test, runfiles = ctx.runfiles([report]))]

_TEST = """\
#!/bin/sh
cat {report} >&2 && [ ! -s {report} ]
"""

def _capability_test_impl(ctx):
    args = ctx.actions.args()
    args.add(json.encode(ctx.attr.expected), format = "--expected=%s")
    return _verdict(ctx, "capabilities", args, _image(ctx, args))

capability_test = rule(
    doc = """Tests that exactly the expected files of an image have capabilities, and exactly the expected ones. Files of the \
base count too.

The report has every difference, and the lines to write if the image is right.""",
    implementation = _capability_test_impl,
    attrs = _TOOL_ATTRS | {
        "expected": attr.string_dict(
            doc = "Absolute path in the image, without symbolic links -> [what to write](capability-text.md). `{}`: no file has any.",
            mandatory = True,
        ),
    },
    test = True,
)

def _digest_test_impl(ctx):
    args = ctx.actions.args()
    args.add(ctx.attr.digest, format = "--digest=%s")
    if ImageInfo in ctx.attr.image:
        info = ctx.attr.image[ImageInfo]
        contents = [info.manifest]
    elif ImageIndexInfo in ctx.attr.image:
        info = ctx.attr.image[ImageIndexInfo]
        contents = [info.index] + [each.manifest for each in info.images]
    else:
        return _verdict(ctx, "digest", args, _image(ctx, args))
    args.add(info.descriptor, format = "--descriptor=%s")
    args.add_all(contents, format_each = "--content=%s")
    return _verdict(ctx, "digest", args, depset([info.descriptor] + contents))

digest_test = rule(
    doc = """Tests that an image, or index, has the expected digest: a change, another machine or an upgrade left every byte \
as it was.

The report has the digests of the image and of its parts, and the command that writes the new digest.""",
    implementation = _digest_test_impl,
    attrs = _TOOL_ATTRS | {
        "digest": attr.string(
            doc = "The digest of its manifest, as registries show it: `sha256:...`.",
            mandatory = True,
        ),
    },
    test = True,
)

def _kubernetes_test_impl(ctx):
    args = ctx.actions.args()
    args.add(ctx.attr.image_name, format = "--name=%s")
    args.add(ctx.attr.runtime, format = "--runtime=%s")
    args.add(ctx.attr.pod_security, format = "--level=%s")
    args.add_all(ctx.files.manifests, format_each = "--manifest=%s")
    args.add_all(ctx.attr.programs, format_each = "--program=%s")
    image = _image(ctx, args)
    return _verdict(ctx, "kubernetes", args, depset(ctx.files.manifests, transitive = [image]))

kubernetes_test = rule(
    doc = """Tests that the containers of Kubernetes manifests that run an image get the capabilities that its files have.

The report has file, line, container and field of every finding, and what to write instead: where the runtime would grant \
less than the first program's file has, where `allowPrivilegeEscalation: false` takes it away, or where the program would not \
start at all. A manifest that cannot be read, or that does not name the image, is a finding too.""",
    implementation = _kubernetes_test_impl,
    attrs = _VERDICT_ATTRS | {
        "image_name": attr.string(
            doc = "What the manifests call the image: `registry.example/path`, with a tag or digest where those matter.",
            mandatory = True,
        ),
        "manifests": attr.label_list(
            doc = """YAML or JSON: Pod, Deployment, StatefulSet, DaemonSet, ReplicaSet, Job, CronJob, PodTemplate, List. Of custom \
resources (an Argo Rollout, an operator's), pod templates are read. One that names the image elsewhere is a finding.""",
            allow_files = [".yaml", ".yml", ".json"],
            mandatory = True,
        ),
        "pod_security": attr.string(
            doc = "The Pod Security Standards level that the pods are to satisfy: `privileged` (any), `baseline` or `restricted`. Fixes are within it; where none is, the report names the level that one needs.",
            default = "privileged",
            values = ["privileged", "baseline", "restricted"],
        ),
        "programs": attr.string_list(
            doc = """The programs of the image, absolute paths, that the containers are about. The test follows entrypoints, init \
processes, shells and scripts to the program by itself; name it where the report says that it could not, or where the program has \
no capabilities itself and executes another that has. By default, every file of the image with capabilities is tested then.""",
        ),
        "runtime": attr.string(
            doc = "The nodes' container runtime, with a version if it is not the newest: `containerd`, `cri-o@1.30`.",
            default = "containerd",
        ),
        "_command": attr.label(
            cfg = "exec",
            default = "//tools/rules_setcap/image_tests:kubernetes",
            executable = True,
        ),
    },
    test = True,
)
