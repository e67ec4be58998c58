"""Writes the entries of a layer as lines of the packer's parameter file.

Each line is a JSON object; tools/packer/entries.py describes its fields. Args.map_each makes the lines when the action
runs. So no depset is flattened at analysis, and path mapping applies to every File.
"""

def placement(attribute, owner, mode = ""):
    """Returns a function that makes the lines of one attribute's entries.

    Args:
      attribute: str, the attribute, for messages.
      owner: struct of uid and gid.
      mode: str, octal, of files; "" for the packer's default.

    Returns:
      struct with line(path, **fields), which makes one line.
    """

    # Fields that have the packer's defaults are left out: there are many lines.
    common = {"attribute": attribute} | {name: id for name, id in (("gid", owner.gid), ("uid", owner.uid)) if id}
    of_files = common | ({"mode": mode} if mode else {})

    def line(path, type = "", **fields):
        entry = common | {"type": type} if type else of_files
        return json.encode(entry | {"path": path} | fields)

    return struct(line = line)

def _add(args, items, map_each):
    args.add_all(items, map_each = map_each, allow_closure = True, expand_directories = False)

def add_files(args, files, path_of, place):
    """Adds files, and directories with everything in them.

    Args:
      args: Args of the entries file.
      files: depset or list of File.
      path_of: function from a File to its path in the image.
      place: struct that placement() made.
    """

    def each(file, directory_expander):
        return entry_lines(file, path_of(file), place, directory_expander)

    _add(args, files, each)

def entry_lines(file, path, place, directory_expander):
    """Returns the lines for one File.

    Args:
      file: File.
      path: str, its path in the image.
      place: struct that placement() made.
      directory_expander: DirectoryExpander, of Args.map_each.

    Returns:
      list of str.
    """
    if file.is_directory:
        if file.is_source:
            # Bazel does not know the contents; the packer reads the directory.
            return [place.line(path, type = "directory", source = file.path)]

        # Bazel defines a tree artifact as regular files: sandboxes and remote executors get no links.
        return [place.line(path, type = "directory")] + [
            place.line(path + "/" + child.tree_relative_path, source = child.path)
            for child in directory_expander.expand(file)
        ]
    if file.is_source:
        return [place.line(path, source = file.path)]
    if hasattr(file, "is_symlink"):
        # Bazel 8 or later.
        return [place.line(path, type = "symlink" if file.is_symlink else "", source = file.path)]

    # Bazel 7 does not say which outputs are unresolved symlinks; the packer finds out.
    return [place.line(path, output = file.path)]

def below_runfiles(short_path, workspace):
    """Returns where Bazel puts a file below a runfiles directory.

    Args:
      short_path: str, the file's.
      workspace: str, ctx.workspace_name.

    Returns:
      str, relative.
    """
    return short_path[len("../"):] if short_path.startswith("../") else workspace + "/" + short_path

def add_runfiles(args, target, path, workspace, place):
    """Adds a program's runfiles beside it, as Bazel lays them out.

    The layout is that of --nolegacy_external_runfiles on every Bazel: other repositories are beside the main one, and
    not below <workspace>/external a second time.

    Args:
      args: Args of the entries file.
      target: Target, executable.
      path: str, the program's path in the image.
      workspace: str, ctx.workspace_name.
      place: struct that placement() made.

    Returns:
      list of depset of File: the inputs that this adds.
    """
    runfiles = target[DefaultInfo].default_runfiles
    program = target[DefaultInfo].files_to_run.executable

    # A program that needs nothing beside itself, a static binary for one, gets
    # no runfiles directory.
    if not runfiles or not (
        runfiles.symlinks or runfiles.root_symlinks or
        [file for file in runfiles.files.to_list() if file != program]
    ):
        return []
    root = path + ".runfiles/"

    def each_file(file, directory_expander):
        below = below_runfiles(file.short_path, workspace)
        if file == program:
            # Its second place; the bytes are in the layer once.
            up = "../" * len(below.split("/"))
            return [place.line(root + below, type = "symlink", target = up + path.split("/")[-1])]
        return entry_lines(file, root + below, place, directory_expander)

    def each_symlink(link, directory_expander):
        return entry_lines(link.target_file, root + below_runfiles(link.path, workspace), place, directory_expander)

    def each_root_symlink(link, directory_expander):
        return entry_lines(link.target_file, root + link.path, place, directory_expander)

    def each_empty(short_path):
        # Bazel 7 by default: --legacy_external_runfiles. The main repository cannot have a directory of this name.
        if short_path.startswith("external/"):
            return place.line(root + short_path[len("external/"):])
        return place.line(root + below_runfiles(short_path, workspace))

    _add(args, runfiles.files, each_file)
    _add(args, runfiles.symlinks, each_symlink)
    _add(args, runfiles.root_symlinks, each_root_symlink)
    args.add_all(runfiles.empty_filenames, map_each = each_empty, allow_closure = True)
    links = runfiles.symlinks.to_list() + runfiles.root_symlinks.to_list()
    inputs = [runfiles.files, depset([link.target_file for link in links])]
    mapping = target[DefaultInfo].files_to_run.repo_mapping_manifest
    if mapping:
        add_files(args, [mapping], lambda _file: root + "_repo_mapping", place)
        inputs.append(depset([mapping]))
    return inputs
