"""The test that builds an image twice.

The test runs Bazel itself, so it must run on the machine of the workspace and outside the sandbox. It does not depend on the
outputs of the image: it builds them in directories of its own.
"""

load(":launcher.bzl", "for_host")
load(":messages.bzl", "format_label")

visibility(["//rules/...", "//tests/...", "//tools/..."])

_TEST = """\
#!/bin/sh
exec "$PWD"/{command} {arguments} "$@"
"""

def _reproducibility_test_impl(ctx):
    command = ctx.attr._command[0][DefaultInfo]
    arguments = ["--keep=" + name for name in ctx.attr.keep] + ["--bazel-flag=" + flag for flag in ctx.attr.bazel_flags]
    arguments += ["--", format_label(ctx.attr.image.label)]
    test = ctx.actions.declare_file(ctx.label.name)
    ctx.actions.write(test, _TEST.format(
        command = _quote(command.files_to_run.executable.short_path),
        arguments = " ".join([_quote(argument) for argument in arguments]),
    ), is_executable = True)
    runfiles = ctx.runfiles([command.files_to_run.executable]).merge(command.default_runfiles)
    return [
        DefaultInfo(executable = test, runfiles = runfiles),
        # The network is for repositories that Bazel fetches.
        testing.ExecutionInfo({"local": "1", "no-cache": "1", "no-remote": "1", "no-sandbox": "1", "requires-network": "1"}),
    ]

def _quote(text):
    """Quotes text for the shell."""
    return "'" + text.replace("'", "'\\''") + "'"

reproducibility_test = rule(
    doc = """Tests that an image is reproducible: builds it twice with Bazel, in different surroundings, and compares both. The \
test fails if they differ, and its log says how, and which action is at fault.

It has the tags `manual`, `reproducibility`, `local` and `external`: run it by its label. The reports and an in-toto statement are in the test's undeclared outputs. \
[Reproducibility](../reproducibility.md) says what is varied.""",
    implementation = _reproducibility_test_impl,
    attrs = {
        "bazel_flags": attr.string_list(
            doc = "Flags of `bazel build` for both builds, such as `--config=release`.",
        ),
        "image": attr.label(
            doc = "The image: any target that makes an OCI layout directory or an image archive.",
            allow_files = True,
            mandatory = True,
        ),
        "keep": attr.string_list(
            doc = "The names of variations that are not made, as for `--keep` of `reproduce`; `all` for all.",
        ),
        "_command": attr.label(
            cfg = for_host,
            default = "//tools/rules_setcap/reproduce:command",
            executable = True,
        ),
    },
    test = True,
)
