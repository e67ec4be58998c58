"""Finds files of a base in a registry, and fetches its layers from the highest one down until it has found them."""

load(":python_tool.bzl", "run_python_tool")
load(":request.bzl", "add_label", "start_request")

visibility(["//rules/...", "//tests/...", "//tools/..."])

# The output of an action that fetches layers depends on digests alone, so any cache may have it. The inputs do not have the
# credentials and the configuration of the client, so it runs neither in a sandbox nor on another machine.
FETCHING = {
    "no-remote-exec": "1",
    "no-sandbox": "1",
    "requires-network": "1",
}

def add_client(request, source):
    """Adds how to fetch layers of an image, for LayerStore in tools/rules_setcap/bases.

    Args:
      request: Args from start_request().
      source: struct, where the layers come from:
        client: File, the path and the environment of the client.
        client_info: ClientInfo, that of the toolchain.
        digest: str, the digest of the manifest.
        image: str, the repository in the registry.
        insecure: bool, whether the registry may have plain HTTP.
        store: str, the path of the directory that keeps fetched layers.

    Returns:
      list of File, the tools of the action.
    """
    program = source.client_info.program
    request.add(source.image, format = "--image=%s")
    request.add(source.digest, format = "--manifest=%s")
    request.add("yes" if source.insecure else "no", format = "--insecure=%s")

    # Not inputs: they say how to fetch, and they differ from user to user.
    request.add(source.client.path, format = "--client=%s")
    request.add(source.store, format = "--store=%s")
    if program:
        request.add(program, format = "--program=%s")
        request.add(source.client_info.kind, format = "--kind=%s")
    return [program] if program else []

def search_base(ctx, name, base, platform, capabilities):
    """Declares the action that finds files of a base in a registry.

    Args:
      ctx: the context of the rule image.
      name: str, the name of the outputs without their extensions.
      base: struct from base_image(), whose `search` is set.
      platform: str, the platform of the image.
      capabilities: list of struct of attribute, path and capabilities, as list_file_capabilities() returns it.

    Returns:
      struct of
        contents: File, JSON: the list of the files of the layers that have been read.
        files: File, a directory with the files that have been found.
    """
    files = ctx.actions.declare_directory(name)
    contents = ctx.actions.declare_file(name + ".contents.json")
    request = start_request(ctx, "search")
    tools = add_client(request, base.search)
    for layout in base.layouts:
        add_label(request, "base", base.label, layout)
    request.add_all(base.layouts, format_each = "--layout=%s", expand_directories = False)
    request.add(platform, format = "--platform=%s")
    request.add_all(["--path=" + json.encode(assignment.path) for assignment in capabilities])
    request.add_all([files], format_each = "--output=%s", expand_directories = False)
    request.add(contents, format = "--contents=%s")
    run_python_tool(
        ctx,
        base.search.tool,
        [request],
        outputs = [files, contents],
        inputs = base.layouts,
        mnemonic = "SetcapSearch",
        progress_message = "Finding files of %{label} in the layers of " + base.search.image,
        tools = tools,
        execution_requirements = FETCHING,
    )
    return struct(contents = contents, files = files)
