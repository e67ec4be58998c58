"""Rules that are not reproducible."""

def _unordered_directory_impl(ctx):
    directory = ctx.actions.declare_directory(ctx.label.name)
    ctx.actions.run_shell(
        outputs = [directory],
        command = "mkdir tree && touch tree/c tree/a tree/d tree/b && find tree > $1/listing && rm -r tree",
        arguments = [directory.path],
        mnemonic = "ListFiles",
    )
    return DefaultInfo(files = depset([directory]))

unordered_directory = rule(implementation = _unordered_directory_impl)

def _fetched_impl(rctx):
    rctx.file("home.txt", rctx.os.environ["HOME"] + "\n")
    rctx.file("BUILD.bazel", "exports_files([\"home.txt\"])\n")

fetched = repository_rule(implementation = _fetched_impl)
