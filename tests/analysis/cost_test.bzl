"""Tests of what the analysis of a target costs Bazel: the tools that it depends on, and its actions."""

load("@bazel_skylib//lib:unittest.bzl", "analysistest", "asserts")

_ToolsInfo = provider(
    doc = "The tools that a target depends on.",
    fields = {"names": "list of str, sorted."},
)

def _list_tools_impl(_target, ctx):
    names = [attribute for attribute in dir(ctx.rule.attr) if attribute.startswith("_") and attribute.endswith("_tool")]
    return [_ToolsInfo(names = sorted([name.removeprefix("_").removesuffix("_tool") for name in names]))]

_list_tools = aspect(implementation = _list_tools_impl)

def _tools_impl(ctx):
    env = analysistest.begin(ctx)
    asserts.equals(env, ctx.attr.tools, analysistest.target_under_test(env)[_ToolsInfo].names)
    return analysistest.end(env)

tools_test = analysistest.make(
    _tools_impl,
    attrs = {"tools": attr.string_list()},
    extra_target_under_test_aspects = [_list_tools],
)

def _actions_impl(ctx):
    env = analysistest.begin(ctx)
    actions = [action for action in analysistest.target_actions(env) if action.mnemonic.startswith("Setcap")]
    asserts.equals(env, ctx.attr.mnemonics, sorted([action.mnemonic for action in actions]))
    return analysistest.end(env)

actions_test = analysistest.make(
    _actions_impl,
    attrs = {"mnemonics": attr.string_list()},
)
