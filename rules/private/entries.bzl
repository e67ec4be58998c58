"""The entries of a layer: one line of the request for each file, directory and link.

Each line is a JSON object or list; tools/rules_setcap/packer/entry_lines.py describes them. Bazel makes the lines when the action runs
(`Args.map_each`): no depset is flattened at analysis, and path mapping applies to every File.
"""

visibility(["//rules/...", "//tests/...", "//tools/..."])

EntriesInfo = provider(
    doc = "Entries of a layer, to be added to a request.",
    fields = {
        "inputs": "depset of File: the files that the lines name.",
        "items": "depset or list: what the lines are made of.",
        "map_each": "function from an item to its lines, for Args.add_all(); None if the items are the lines.",
    },
)

def write_line(attribute, path, type = "", **fields):
    """Returns the line for one entry.

    Files with a source have a shorter form, because there may be many of them: a list of attribute, path and source.

    Args:
      attribute: str, the attribute that has the entry, for messages.
      path: str, the path in the image.
      type: str, "directory" or "symlink"; "" for an empty file.
      **fields: further fields of the line.

    Returns:
      str, JSON.
    """
    entry = {"attribute": attribute, "path": path} | ({"type": type} if type else {})
    return json.encode(entry | fields)

def list_files(attribute, files, path_of):
    """Returns the entries of files, and of directories with everything in them.

    Args:
      attribute: str, the attribute that has the files.
      files: depset of File.
      path_of: function from a File to its path in the image.

    Returns:
      EntriesInfo.
    """

    def write_file(file, directory_expander):
        return write_lines(attribute, file, path_of(file), directory_expander)

    return EntriesInfo(inputs = files, items = files, map_each = write_file)

def write_lines(attribute, file, path, directory_expander):
    """Returns the lines for one File.

    Args:
      attribute: str, the attribute that has the file.
      file: File.
      path: str, its path in the image.
      directory_expander: DirectoryExpander, from Args.map_each.

    Returns:
      list of str.
    """
    if file.is_directory:
        if file.is_source:
            # Bazel does not know the contents of a source directory; the tool reads it.
            return [write_line(attribute, path, type = "directory", source = file.path)]

        # Bazel defines a tree artifact as regular files: sandboxes and remote executors get no links. For the key of the action
        # and for aquery, Bazel expands to the directory itself, which has no tree_relative_path. An error would give all actions
        # with a directory the same key, so that they would not run again.
        return [write_line(attribute, path, type = "directory")] + [
            json.encode([attribute, path + "/" + child.tree_relative_path, child.path])
            for child in directory_expander.expand(file)
            if child != file
        ]
    if file.is_source:
        return [json.encode([attribute, path, file.path])]
    if not hasattr(file, "is_symlink"):
        # Bazel 7 does not tell which outputs are unresolved symlinks; the tool finds out.
        return [json.encode([attribute, path, "", file.path])]
    if file.is_symlink:
        return [write_line(attribute, path, type = "symlink", source = file.path)]
    return [json.encode([attribute, path, file.path])]

def runfiles_path(short_path, workspace):
    """Returns the path of a file below the runfiles directory.

    Args:
      short_path: str, the file's short_path.
      workspace: str, ctx.workspace_name.

    Returns:
      str, relative to the runfiles directory.
    """
    return short_path[len("../"):] if short_path.startswith("../") else workspace + "/" + short_path

def list_program(attribute, target, path, workspace):
    """Returns the entries of a program and of its runfiles directory, as Bazel lays it out beside the program.

    The layout is that of --nolegacy_external_runfiles on every Bazel version: other repositories are beside the main one,
    and not a second time below <workspace>/external.

    Args:
      attribute: str, the attribute that has the program.
      target: Target, executable.
      path: str, the program's path in the image.
      workspace: str, ctx.workspace_name.

    Returns:
      EntriesInfo.
    """
    program = target[DefaultInfo].files_to_run.executable
    runfiles = target[DefaultInfo].default_runfiles
    mapping = target[DefaultInfo].files_to_run.repo_mapping_manifest
    if not runfiles:
        return list_files(attribute, depset([program]), lambda _file: path)

    def write_program(program, directory_expander):
        lines = write_lines(attribute, program, path, directory_expander)
        return lines + _write_runfiles(attribute, program, path, runfiles, mapping, workspace, directory_expander)

    # Bazel offers the targets of links among the runfiles in no other way. Few programs have such links.
    links = runfiles.symlinks.to_list() if runfiles.symlinks else []
    links += runfiles.root_symlinks.to_list() if runfiles.root_symlinks else []
    direct = [program] + [link.target_file for link in links] + ([mapping] if mapping else [])
    return EntriesInfo(
        inputs = depset(direct, transitive = [runfiles.files]),
        items = [program],
        map_each = write_program,
    )

def _write_runfiles(attribute, program, path, runfiles, mapping, workspace, directory_expander):
    """Returns the lines for a program's runfiles directory. It flattens the runfiles: only an action may call it.

    Args:
      attribute: str, the attribute that has the program.
      program: File.
      path: str, the program's path in the image.
      runfiles: runfiles of the program.
      mapping: File, the repository mapping of the runfiles; None if there is none.
      workspace: str, ctx.workspace_name.
      directory_expander: DirectoryExpander, from Args.map_each.

    Returns:
      list of str.
    """
    files = runfiles.files.to_list()
    contents = [(file, runfiles_path(file.short_path, workspace)) for file in files if file != program]
    contents += [(link.target_file, runfiles_path(link.path, workspace)) for link in runfiles.symlinks.to_list()]
    contents += [(link.target_file, link.path) for link in runfiles.root_symlinks.to_list()]
    if not contents:
        return []  # A program without other runfiles, such as a static binary, gets no runfiles directory.
    if mapping:
        contents.append((mapping, "_repo_mapping"))
    root = path + ".runfiles/"
    lines = [
        line
        for file, relative in contents
        for line in write_lines(attribute, file, root + relative, directory_expander)
    ]
    for short_path in runfiles.empty_filenames.to_list():
        # Bazel 7 sets --legacy_external_runfiles by default. The main repository cannot have a directory of this name.
        external = short_path.startswith("external/")
        relative = short_path.removeprefix("external/") if external else runfiles_path(short_path, workspace)
        lines.append(write_line(attribute, root + relative))
    if program in files:
        # The program is in its runfiles too. A link keeps its bytes in the layer once.
        relative = runfiles_path(program.short_path, workspace)
        target = "../" * len(relative.split("/")) + path.split("/")[-1]
        lines.append(write_line(attribute, root + relative, type = "symlink", target = target))
    return lines
