"""A directory that an action makes."""

def _tree_impl(ctx):
    tree = ctx.actions.declare_directory(ctx.label.name)
    ctx.actions.run_shell(
        arguments = [tree.path],
        command = "cd $1 && mkdir below && echo 2 > below/two && echo 1 > one && ln -s one link && chmod 0700 one",
        outputs = [tree],
        progress_message = "Making %{label}",
    )
    return [DefaultInfo(files = depset([tree]))]

tree = rule(implementation = _tree_impl)
