"""The rule kubernetes_manifests."""

load("//rules:providers.bzl", "ImageIndexInfo", "ImageInfo", "PushInfo")
load(":image_tests.bzl", "KUBERNETES_ATTRS", "check_kubernetes")
load(":input_images.bzl", "ANY_IMAGE", "find_image")
load(":launcher.bzl", "find_runfile")
load(":messages.bzl", "format_label", "format_problem")
load(":python_tool.bzl", "PATH_MAPPING")

visibility(["//rules/...", "//tests/...", "//tools/..."])

_CHECKS = ["capabilities", "custom_resources"]

def _kubernetes_manifests_impl(ctx):
    problems = []
    for name in ctx.attr.disabled_checks:
        if name not in _CHECKS:
            problems.append(format_problem("disabled_checks", name, "not a check; the checks are " + ", ".join(_CHECKS)))
    for name in ctx.attr.programs:
        if name not in ctx.attr.images:
            problems.append(format_problem("programs", name, "not a key of images"))
    images = [_find_mapped_image(name, target, problems) for name, target in ctx.attr.images.items()]
    manifests = _declare_manifests(ctx, problems)
    sources, outputs = [each.source for each in manifests], [each.output for each in manifests]
    is_checked = sources and "capabilities" not in ctx.attr.disabled_checks
    joined = ctx.actions.declare_file(ctx.label.name + ".joined.yaml")
    helm = ctx.actions.declare_file(ctx.label.name + ".values.yaml")
    kustomization = ctx.actions.declare_file(ctx.label.name + ".kustomize/kustomization.yaml")
    args = ctx.actions.args()
    args.use_param_file("@%s")
    args.set_param_file_format("multiline")
    args.add(format_label(ctx.label), format = "--target=%s")
    args.add(ctx.attr.runtime, format = "--runtime=%s")
    args.add(json.encode(ctx.attr.helm_values), format = "--helm-values=%s")
    args.add_all(["--digests-required"] if ctx.attr.require_digests else [])
    args.add_all(problems, format_each = "--problem=%s")
    inputs = []
    checked = {image.name: None for image in images if is_checked and image.source.file}
    bundles = _divide_manifests(ctx, checked.keys(), sources)
    for number, image in enumerate(images):
        args.add(json.encode([number, image.name, image.label]), format = "--image=%s")
        for flag, file in {"descriptor": image.descriptor, "destination": image.destination}.items():
            if file:
                args.add(file, format = "--{}={}=%s".format(flag, number))
                inputs.append(depset([file]))
        if not image.descriptor and image.source.file:
            args.add_all([image.source.file], format_each = "--layout={}=%s".format(number), expand_directories = False)
            inputs.append(image.source.files)
        if image.name in checked:
            report = _check_image(ctx, number, image, sources, bundles.get(image.name))
            args.add(report, format = "--report={}=%s".format(number))
            inputs.append(depset([report]))
    args.add_all(sources, format_each = "--manifest=%s")
    args.add_all(outputs, format_each = "--output=%s")
    for flag, file in {"helm": helm, "joined": joined, "kustomize": kustomization}.items():
        args.add(file, format = "--" + flag + "=%s")
    _run_command(
        ctx,
        ["resolve", args],
        inputs = depset(sources, transitive = inputs),
        outputs = outputs + [helm, joined, kustomization],
        mnemonic = "SetcapManifests",
        progress_message = "Writing digests into the manifests of %{label}",
    )
    return [
        DefaultInfo(
            executable = _write_printer(ctx, joined if sources else None),
            files = depset(outputs),
            runfiles = ctx.runfiles([joined]),
        ),
        OutputGroupInfo(
            helm_values = depset([helm]),
            kustomize_images = depset([kustomization]),
        ),
    ]

def _find_mapped_image(name, target, problems):
    """Finds the image of an entry of the attribute images, and adds problems.

    Args:
      name: str, the key.
      target: Target, the value.
      problems: list of str.

    Returns:
      struct of
        descriptor: File; None for an image of another ruleset.
        destination: File, the destination of an image_push; None for others.
        label: str, the label of the target.
        name: str, the key.
        source: struct from find_image().
    """
    if PushInfo in target:
        push = target[PushInfo]
        return struct(
            descriptor = push.descriptor,
            destination = push.destination,
            label = format_label(target.label),
            name = name,
            source = push.source,
        )
    info = target[ImageInfo] if ImageInfo in target else target[ImageIndexInfo] if ImageIndexInfo in target else None
    return struct(
        descriptor = info.descriptor if info else None,
        destination = None,
        label = format_label(target.label),
        name = name,
        source = find_image("images", target, problems),
    )

def _divide_manifests(ctx, names, sources):
    """Declares the action that divides the manifests by images, so that a manifest that changes is an input of few checks.

    Args:
      ctx: the context.
      names: list of str, the names of the images.
      sources: list of File, the manifests.

    Returns:
      dict of str to File: the manifests that may name an image, by its name. It is empty if there are not several of both.
    """
    if len(names) < 2 or len(sources) < 2:
        return {}
    bundles = {
        name: ctx.actions.declare_file("{}.{}.manifests.json".format(ctx.label.name, number))
        for number, name in enumerate(names)
    }
    args = ctx.actions.args()
    args.use_param_file("@%s")
    args.set_param_file_format("multiline")
    args.add_all(names, format_each = "--name=%s")
    args.add_all(bundles.values(), format_each = "--bundle=%s")
    args.add_all(sources, format_each = "--manifest=%s")
    _run_command(
        ctx,
        ["divide", args],
        inputs = sources,
        outputs = bundles.values(),
        mnemonic = "SetcapDivideManifests",
        progress_message = "Dividing the manifests of %{label}",
    )
    return bundles

def _run_command(ctx, arguments, **kwargs):
    """Declares an action that runs the tool of manifests; further arguments are those of ctx.actions.run()."""
    ctx.actions.run(
        executable = ctx.executable._command,
        arguments = arguments,
        env = {},
        use_default_shell_env = False,
        toolchain = None,
        execution_requirements = PATH_MAPPING,
        **kwargs
    )

def _check_image(ctx, number, image, sources, bundle):
    """Declares the action that checks the containers of an image.

    Args:
      ctx: the context.
      number: int, the number of the image.
      image: struct from _find_mapped_image().
      sources: list of File, the manifests.
      bundle: File, the manifests that may name the image; None for all.

    Returns:
      File: the report.
    """
    report = ctx.actions.declare_file("{}.{}.report.txt".format(ctx.label.name, number))
    args = ctx.actions.args()
    args.add("--mapped")
    args.add_all(["--custom-resources"] if "custom_resources" in ctx.attr.disabled_checks else [])
    check_kubernetes(
        ctx,
        args,
        report,
        image = image.source,
        name = image.name,
        bundle = bundle,
        manifests = [] if bundle else sources,
        programs = ctx.attr.programs.get(image.name, []),
    )
    return report

def _declare_manifests(ctx, problems):
    """Declares the manifests that the rule writes, and adds problems.

    Returns:
      list of struct of
        output: File, the manifest with digests.
        source: File, the manifest.
    """
    manifests, sources = [], {}
    for source in depset(transitive = [target[DefaultInfo].files for target in ctx.attr.srcs], order = "preorder").to_list():
        path = _find_path_in_package(source)
        if path in sources:
            problems.append(format_problem("srcs", format_label(source.owner), "has the same path in its package as {}; write a target for each".format(
                format_label(sources[path].owner),
            )))
            path = "{}/{}".format(len(manifests), path)
        sources[path] = source
        manifests.append(struct(output = ctx.actions.declare_file(ctx.label.name + "/" + path), source = source))
    return manifests

def _find_path_in_package(file):
    """Returns the path of a file relative to its package, str."""
    package = file.owner.package + "/" if file.owner.package else ""
    path = file.short_path
    if path.startswith("../"):
        path = path.removeprefix("../").partition("/")[2]
    return path.removeprefix(package)

def _write_printer(ctx, joined):
    """Declares the program that `bazel run` executes.

    Args:
      ctx: the context.
      joined: File, all manifests as one stream; None if there are none.

    Returns:
      File: the program.
    """
    printer = ctx.actions.declare_file(ctx.label.name + ".print")
    ctx.actions.write(printer, _PRINTER.format(
        command = (_PRINT if joined else _REFUSE).format(file = _quote(find_runfile(ctx, joined)) if joined else ""),
        target = _quote(format_label(ctx.label)),
    ), is_executable = True)
    return printer

def _quote(text):
    """Returns a text as a word of a shell script, str."""
    return "'" + text.replace("'", "'\\''") + "'"

_PRINTER = """\
#!/bin/sh
target={target}
case ${{1-}} in
-h | --help)
  echo "usage: bazel run $target | kubectl apply -f -"
  echo
  echo "Prints the manifests with the digests of their images."
  exit 0
  ;;
esac
if [ $# -gt 0 ]; then
  printf '%s: "%s": takes no arguments; it prints the manifests for kubectl apply -f -\\n' "$target" "$1" >&2
  exit 2
fi
{command}"""

# The runfiles are beside the script, around it, where RUNFILES_DIR points, or beside the file that the script links to.
_PRINT = """\
file={file}
for runfiles in "$0.runfiles" "${{0%.runfiles/*}}.runfiles" "${{RUNFILES_DIR:-}}" "$(readlink -f "$0" 2>/dev/null).runfiles"; do
  if [ -f "$runfiles/$file" ]; then
    exec cat "$runfiles/$file"
  fi
done
echo "$0: its runfiles are missing; use bazel run without --noenable_runfiles, or copy them along (cp -rL)" >&2
exit 127
"""

_REFUSE = """\
printf '%s: has no srcs, so there is nothing to print; build its output groups helm_values and kustomize_images\\n' "$target" >&2
exit 1
"""

kubernetes_manifests = rule(
    doc = """Kubernetes manifests whose images have digests.

`bazel build` writes each manifest of `srcs` into a directory with the name of the target. Only the names of images differ from \
`srcs`: comments, order and line ends stay. `bazel run` prints all of them as one stream, for `kubectl apply -f -`.

Before anything is written, the containers are checked as [`kubernetes_test`](test.md#kubernetes_test) does: each must get the \
capabilities that the files of its image have. A finding is a build error.

Output groups:

- `helm_values`: a values file for Helm, with `repository` and `digest` of each image.
- `kustomize_images`: the file `kustomization.yaml` of a component for Kustomize, with `images`.""",
    implementation = _kubernetes_manifests_impl,
    attrs = KUBERNETES_ATTRS | {
        "disabled_checks": attr.string_list(
            doc = """Names of checks that are turned off.

- `capabilities`: all of `kubernetes_test`. The manifests must still be valid.
- `custom_resources`: a custom resource names an image outside a pod template, where its settings cannot be checked.""",
        ),
        "helm_values": attr.string_list_dict(
            doc = """The paths of the values that the output group `helm_values` has. Keys are keys of `images`, values are lists of \
paths: `{"registry.example/app": ["server.image"]}` writes `server.image.repository` and `server.image.digest`. By default, the \
values are in `images`, by key.""",
        ),
        "images": attr.string_keyed_label_dict(
            doc = """The images. Keys are their names in `srcs`, values are targets.

A key is a repository, and matches any tag or digest: `registry.example/app`. With a tag or a digest, it matches only these. A `ko://` \
reference matches itself. A key that no manifest names is an error.

A value is an `image_push`, whose repository is written, or {}. For these, the repository of the key is written.""".format(ANY_IMAGE),
            allow_files = True,
            mandatory = True,
        ),
        "programs": attr.string_list_dict(
            doc = "As `programs` of [`kubernetes_test`](test.md#kubernetes_test), for each key of `images`.",
        ),
        "require_digests": attr.bool(
            doc = """Whether every container must have a digest in the end. Images that `images` does not name stay as they are, so these \
must have one in `srcs`.""",
        ),
        "srcs": attr.label_list(
            doc = """YAML or JSON files, of the kinds that [`kubernetes_test`](test.md#kubernetes_test) reads. Of custom resources, fields \
called `image` and `image.reference` outside pod templates are replaced too. Without `srcs`, only the output groups are of use.""",
            allow_files = [".yaml", ".yml", ".json"],
        ),
    },
    executable = True,
)
