"""A stand-in for rust_binary of rules_rust: a program in C. The machine has no Rust compiler."""

load("@rules_cc//cc:cc_binary.bzl", "cc_binary")

def rust_binary(name, srcs, rustc_flags, **kwargs):  # buildifier: disable=unused-variable
    cc_binary(
        name = name,
        srcs = [Label("//rust:program.c")],
        linkopts = ["-static"],
        **kwargs
    )
