"""Tests of the providers and actions that the rules declare."""

load("@bazel_skylib//lib:unittest.bzl", "analysistest", "asserts")
load("//rules:providers.bzl", "ImageInfo", "LayerInfo")

def _actions(env):
    return {action.mnemonic: action for action in analysistest.target_actions(env)}

def _image_actions_impl(ctx):
    env = analysistest.begin(ctx)
    actions = _actions(env)
    asserts.equals(env, ["SetcapAttributes", "SetcapCheck", "SetcapImage", "SetcapLayer", "SetcapLayout", "SetcapSettings"], sorted([
        mnemonic
        for mnemonic in actions
        if mnemonic != "SourceSymlinkManifest" and mnemonic != "SymlinkTree" and mnemonic != "RepoMappingManifest"
    ]))

    # The action shows the capability as the user typed it.
    asserts.true(env, [
        argument
        for argument in actions["SetcapLayer"].argv
        if argument.startswith("--capabilities=") and "\"net_bind_service\"" in argument
    ] != [])

    # The action that assembles the image reads no blob.
    names = [file.basename for file in actions["SetcapImage"].inputs.to_list()]
    asserts.false(env, [name for name in names if name.endswith((".tar", ".tar.gz"))] != [])
    for action in actions.values():
        if action.mnemonic.startswith("Setcap"):
            asserts.equals(env, {}, action.env)

    # An action has the sources of its own tool, and no others.
    rooms = {
        mnemonic: sorted({_room(file): None for file in action.inputs.to_list() if _ROOMS in file.short_path}.keys())
        for mnemonic, action in actions.items()
        if mnemonic.startswith("Setcap")
    }
    assemble = ["", "actions", "archive", "capabilities", "diagnostics", "executables", "oci"]
    asserts.equals(env, {
        "SetcapAttributes": assemble,
        "SetcapCheck": sorted(assemble + ["validation"]),
        "SetcapImage": assemble,
        "SetcapLayer": sorted(assemble + ["packer"]),
        "SetcapLayout": assemble,
        "SetcapSettings": ["", "archive", "capabilities", "containers", "diagnostics", "executables", "oci"],
    }, rooms)

    # The bytes of a layer do not depend on how an image is assembled or read.
    names = [file.basename for file in actions["SetcapLayer"].inputs.to_list() if _ROOMS + "oci/" in file.short_path]
    asserts.equals(env, ["__init__.py", "layer_contents.py", "merged_contents.py", "nodes.py", "symlinks.py"], sorted(names))
    return analysistest.end(env)

_ROOMS = "tools/rules_setcap/"

def _room(file):
    """Returns the room of a Python module, "" for the package above the rooms."""
    return file.short_path.partition(_ROOMS)[2].rpartition("/")[0].partition("/")[0]

image_actions_test = analysistest.make(_image_actions_impl)

def _image_providers_impl(ctx):
    env = analysistest.begin(ctx)
    target = analysistest.target_under_test(env)
    info = target[ImageInfo]
    asserts.equals(env, ctx.attr.layers, [layer.blob.basename for layer in info.layers])
    asserts.true(env, info.layout.is_directory)

    # Bazel builds the files and the runfiles of the targets that the user names, so they have no blob.
    asserts.equals(env, [info.manifest, info.config, info.descriptor], target[DefaultInfo].files.to_list())
    asserts.equals(env, [], target[DefaultInfo].default_runfiles.files.to_list())
    asserts.equals(env, [], target[DefaultInfo].data_runfiles.files.to_list())
    groups = target[OutputGroupInfo]
    asserts.equals(env, [info.layout], groups.oci_layout.to_list())
    for name in ["config", "descriptor", "layers", "manifest"]:
        asserts.true(env, getattr(groups, name).to_list() != [], name)
    return analysistest.end(env)

image_providers_test = analysistest.make(
    _image_providers_impl,
    attrs = {"layers": attr.string_list()},
)

def _program_runfiles_impl(ctx):
    env = analysistest.begin(ctx)
    runfiles = analysistest.target_under_test(env)[DefaultInfo].default_runfiles
    names = [file.basename for file in runfiles.files.to_list()]
    for name in ctx.attr.names:
        asserts.true(env, name in names, "{} is not in {}".format(name, names))
    return analysistest.end(env)

program_runfiles_test = analysistest.make(
    _program_runfiles_impl,
    attrs = {"names": attr.string_list()},
)

def _layer_providers_impl(ctx):
    env = analysistest.begin(ctx)
    target = analysistest.target_under_test(env)
    info = target[LayerInfo]
    asserts.equals(env, [info.blob], target[DefaultInfo].files.to_list())
    asserts.equals(env, ctx.attr.blob, info.blob.basename)
    asserts.equals(env, [info.metadata], target[OutputGroupInfo].metadata.to_list())
    return analysistest.end(env)

layer_providers_test = analysistest.make(
    _layer_providers_impl,
    attrs = {"blob": attr.string()},
)

def _failure_impl(ctx):
    env = analysistest.begin(ctx)
    asserts.expect_failure(env, ctx.attr.message)
    return analysistest.end(env)

failure_test = analysistest.make(
    _failure_impl,
    attrs = {"message": attr.string()},
    expect_failure = True,
)
