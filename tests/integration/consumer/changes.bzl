"""Targets that have every attribute of the rules that write outputs. A test changes one attribute or one file at a time."""

load("@rules_setcap//rules:image.bzl", "image")
load("@rules_setcap//rules:index.bzl", "image_index")
load("@rules_setcap//rules:ko.bzl", "ko_capabilities")
load("@rules_setcap//rules:kubernetes.bzl", "kubernetes_manifests")
load("@rules_setcap//rules:layer.bzl", "layer")
load("@rules_setcap//rules:load.bzl", "image_load")
load("@rules_setcap//rules:push.bzl", "image_push")
load("@rules_setcap//rules:setcap.bzl", "setcap")

def _tree_impl(ctx):
    tree = ctx.actions.declare_directory(ctx.label.name)
    ctx.actions.run_shell(
        outputs = [tree],
        inputs = [ctx.file.src],
        arguments = [tree.path, ctx.file.src.path],
        command = "while read -r name text; do mkdir -p $(dirname $1/$name); echo $text > $1/$name; done < $2",
    )
    return [DefaultInfo(files = depset([tree]))]

tree = rule(
    doc = "A directory with the files that src lists: a name and a word in each line.",
    implementation = _tree_impl,
    attrs = {"src": attr.label(allow_single_file = True)},
)

def _program_impl(ctx):
    program = ctx.actions.declare_file(ctx.label.name)
    ctx.actions.run_shell(
        outputs = [program],
        inputs = [ctx.file.src],
        arguments = [program.path, ctx.file.src.path],
        command = "cp $2 $1 && chmod +x $1",
    )
    link = ctx.actions.declare_symlink(ctx.label.name + ".link")
    ctx.actions.symlink(output = link, target_path = ctx.attr.link)
    data = ctx.files.data
    runfiles = ctx.runfiles(
        data + [link],
        root_symlinks = {ctx.attr.root_symlink: data[0]},
        symlinks = {ctx.attr.symlink: data[0]},
    )
    return [DefaultInfo(executable = program, runfiles = runfiles)]

program = rule(
    doc = "A program that has files, directories and links of each kind in its runfiles.",
    implementation = _program_impl,
    attrs = {
        "data": attr.label_list(allow_files = True),
        "link": attr.string(),
        "root_symlink": attr.string(),
        "src": attr.label(allow_single_file = True),
        "symlink": attr.string(),
    },
    executable = True,
)

_RULES = {
    "above": image,
    "directory": tree,
    "image": image,
    "index": image_index,
    "ko": ko_capabilities,
    "layer": layer,
    "load": image_load,
    "manifests": kubernetes_manifests,
    "other": image,
    "program": program,
    "push": image_push,
    "second_image": image,
    "setcap": setcap,
}

# The checks of programs would need real programs.
_UNCHECKED = ["architecture", "format", "loader"]

_IMAGE = {
    "annotations_file": "pairs.txt",
    "binary": ":program",
    "disabled_checks": _UNCHECKED,
    "env_file": "pairs.txt",
    "labels_file": "pairs.txt",
    "layers": [
        ":layer",
        ":setcap",
    ],
    "linux_capabilities": ["bpf"],
    "platform": "linux/amd64",
    "user": "1",
}

_ATTRIBUTES = {
    "above": {
        "base": ":image",
        "disabled_checks": _UNCHECKED,
        "file_capabilities": {"/usr/bin/tool": "cap_setuid=ep"},
        "platform": "linux/amd64",
    },
    "directory": {"src": "names.txt"},
    "image": _IMAGE,
    "index": {"images": [":image"]},
    "ko": {"config": "ko.yaml"},
    "layer": {
        "disabled_checks": _UNCHECKED,
        "file_capabilities": {"/usr/bin/tool": "cap_net_raw=ep"},
        "srcs": {
            "/tree": ":directory",
            "/usr/bin/tool": "tool.txt",
        },
        "symlinks": {"/usr/bin/link": "tool"},
    },
    "load": {
        "image": ":image",
        "tag": "app:1",
    },
    "manifests": {
        "images": {"registry.example/app": ":push"},
        "srcs": ["pod.yaml"],
    },
    "other": {
        "cmd": ["/usr/bin/tool"],
        "layers": [":layer"],
        "platform": "linux/arm64",
    },
    "program": {
        "data": [
            "data.txt",
            ":directory",
        ],
        "link": "data.txt",
        "root_symlink": "root/data.txt",
        "src": "program.txt",
        "symlink": "alias/data.txt",
    },
    "push": {
        "image": ":index",
        "remote_tags_file": "tags.txt",
        "repository": "registry.example/app",
    },
    "second_image": _IMAGE,
    "setcap": {
        "disabled_checks": _UNCHECKED,
        "file_capabilities": {"/opt/tool": "cap_net_raw=ep"},
        "tar": "tool.tar",
    },
}

def declare_targets(changes):  # buildifier: disable=unnamed-macro
    """Declares the targets.

    Args:
      changes: dict, attributes that differ, by the name of the target. None takes the default of the rule.
    """
    for name, rule in _RULES.items():
        attributes = _ATTRIBUTES[name] | changes.get(name, {})
        rule(name = name, **{key: value for key, value in attributes.items() if value != None})
    native.platform(
        name = "arm64",
        constraint_values = [
            "@platforms//cpu:aarch64",
            "@platforms//os:linux",
        ],
    )
