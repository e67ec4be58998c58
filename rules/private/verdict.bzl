"""Tests whose finding is an action's: cached, and remote where actions are; the test itself shows it."""

load("//rules:providers.bzl", "ImageIndexInfo", "ImageInfo")
load(":messages.bzl", "label_text")
load(":packer.bzl", "PATH_MAPPING")

_VERDICT_ATTRS = {
    "image": attr.label(
        doc = "An `image`, or an `image_index`, of which all images are tested.",
        mandatory = True,
        providers = [[ImageInfo], [ImageIndexInfo]],
    ),
    "_program": attr.label(
        cfg = "exec",
        default = "//tools/verdicts:verdict",
        executable = True,
    ),
}

def _verdict(ctx, subject, args, inputs = []):
    """Declares the action, and the test that shows what it found."""
    image = ctx.attr.image[ImageInfo] if ImageInfo in ctx.attr.image else ctx.attr.image[ImageIndexInfo]
    report = ctx.actions.declare_file(ctx.label.name + ".report.txt")
    args.add_all([image.layout], format_each = "--image=%s", expand_directories = False)
    args.add(label_text(ctx.label), format = "--target=%s")
    args.add(report, format = "--report=%s")
    ctx.actions.run(
        executable = ctx.executable._program,
        arguments = [subject, args],
        # The layout, and what its links lead to.
        inputs = depset(inputs, transitive = [ctx.attr.image[DefaultInfo].default_runfiles.files]),
        outputs = [report],
        mnemonic = "SetcapVerdict",
        progress_message = "Testing %{label}",
        env = {},
        use_default_shell_env = False,
        toolchain = None,
        execution_requirements = PATH_MAPPING,
    )
    test = ctx.actions.declare_file(ctx.label.name)
    ctx.actions.write(test, _TEST.format(report = report.short_path), is_executable = True)
    return [DefaultInfo(executable = test, runfiles = ctx.runfiles([report]))]

_TEST = """\
#!/bin/sh
cat '{report}' >&2 && [ ! -s '{report}' ]
"""

def _capability_test_impl(ctx):
    args = ctx.actions.args()
    args.add(json.encode(ctx.attr.expected), format = "--expected=%s")
    return _verdict(ctx, "capabilities", args)

capability_test = rule(
    doc = """That the files of an image, those of its base among them, have just these capabilities, and no other file any.

It fails with every difference, and with the lines to write if the image is right.""",
    implementation = _capability_test_impl,
    attrs = _VERDICT_ATTRS | {
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
    return _verdict(ctx, "digest", args)

digest_test = rule(
    doc = """That an image, or index, is the very one that it was: that a change, a machine or an upgrade left every byte alone.

It fails with the digests that it found, of config and layers too, and with the command that writes the new one.""",
    implementation = _digest_test_impl,
    attrs = _VERDICT_ATTRS | {
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
    return _verdict(ctx, "kubernetes", args, ctx.files.manifests)

kubernetes_test = rule(
    doc = """That the containers of Kubernetes manifests which run an image get the capabilities that its files are to give them.

It fails with file, line, container and field, and with what to write instead: where the runtime would grant less than the \
first program's file has, `allowPrivilegeEscalation: false` takes it away, or the program would not start at all.""",
    implementation = _kubernetes_test_impl,
    attrs = _VERDICT_ATTRS | {
        "image_name": attr.string(
            doc = "What the manifests call the image: `registry.example/path`, with a tag or digest where those matter.",
            mandatory = True,
        ),
        "manifests": attr.label_list(
            doc = "YAML or JSON: Pod, Deployment, StatefulSet, DaemonSet, ReplicaSet, Job, CronJob, PodTemplate, List; other kinds are passed over.",
            allow_files = [".yaml", ".yml", ".json"],
            mandatory = True,
        ),
        "pod_security": attr.string(
            doc = "The Pod Security Standards level that the pods are to satisfy: `privileged` (any), `baseline` or `restricted`.",
            default = "privileged",
            values = ["privileged", "baseline", "restricted"],
        ),
        "runtime": attr.string(
            doc = "The nodes' container runtime, with a version if it is not the newest: `containerd`, `cri-o@1.30`.",
            default = "containerd",
        ),
    },
    test = True,
)
