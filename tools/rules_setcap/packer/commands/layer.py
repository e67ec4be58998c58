"""Packs entries into a blob, and writes its metadata."""

from __future__ import annotations

import json

from rules_setcap.diagnostics import files
from rules_setcap.diagnostics.errors import InputError, problem, quote
from rules_setcap.oci import merged
from rules_setcap.packer import assignments, directories, entries, layer, styles
from rules_setcap.packer.blob_options import take_blob_options
from rules_setcap.packer.mtime import read_mtime

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Callable

    from rules_setcap.actions.arguments import Arguments
    from rules_setcap.diagnostics.problems import Problems


def run_command(arguments: Arguments, problems: Problems) -> None:
    output, metadata = arguments.take_value("output"), arguments.take_value("metadata")
    mtime = read_mtime(arguments, problems)
    blob = take_blob_options(arguments)
    requested, changed = arguments.take_values("capabilities"), arguments.take_values("change")
    if file := arguments.take_value("capabilities-from", ""):
        requested += assignments.held(file, arguments.take_value("capabilities-to"), problems)
    parents = arguments.take_value("parent-directories", directories.ALL)
    hard_link_duplicates = arguments.take_value("hard-link-duplicates", "")
    replaces = arguments.take_values("replaces")
    below = _below(arguments.take_values("base-contents"), arguments.take_values("below"), arguments.take_values("below-name"), replaces, problems)
    style = styles.STYLES[arguments.take_value("tar-style", "plain")]
    program, unmatched_file = arguments.take_value("program", ""), arguments.take_value("unmatched-paths", "")
    arguments.check_all_taken()

    by_path = entries.read(arguments.entries, problems, arguments.digests)
    entries.set_directories(by_path, style.directory_mode)
    named = {entry.path for entry in by_path.values() if entry.attribute == "directories"}
    by_path = directories.place(by_path, below, named, replaces, problems)
    directories.add_parents(by_path, below, parents, style.directory_mode, problems)
    locate = _locator(below)
    wrong: list[str] = []
    parsed = assignments.parse(requested, wrong)
    if changed:
        from rules_setcap.packer import changes  # Few layers need it, and to load it takes time.

        copied = [grant.path for grant in parsed if unmatched_file and grant.attribute == "file_capabilities"]
        named |= changes.apply(changed, by_path, copied, problems, locate)
    entries.settle_links(by_path, problems)
    problems += wrong
    unmatched = []
    if unmatched_file:
        unmatched = [grant for grant in parsed if grant.attribute == "file_capabilities" and locate(grant.path) not in by_path]
        parsed = [grant for grant in parsed if grant not in unmatched]
        if not problems.concern("base", "platform"):
            missing = [grant for grant in unmatched if not below.kind(locate(grant.path))]
            problems += [problem(grant.attribute, grant.path, entries.no_path(grant.path, below.files)) for grant in missing]
    granted = assignments.resolve([grant._replace(path=locate(grant.path)) for grant in parsed], by_path, problems)
    if problems:
        raise InputError(problems)
    if hard_link_duplicates:
        from rules_setcap.packer import duplicates

        duplicates.link(by_path, granted)
    described = layer.write(output, by_path.values(), granted, mtime=mtime, style=style, named=named, program=locate(program), **blob)
    # A layer without entries does not become a part of the image.
    files.write_json(metadata, {**described, **({} if by_path else {"empty": True})})
    if unmatched_file:
        files.write_whole(unmatched_file, json.dumps(sorted(grant.path for grant in unmatched)).encode())


def _locator(below: merged.Merged) -> Callable[[str], str]:
    """Returns a function like below.locate() that returns a path as it is where links lead in circles: place() reports those."""

    def locate(path: str) -> str:
        try:
            return below.locate(path)
        except ValueError:
            return path

    return locate


def _below(base: list[str], layers: list[str], names: list[str], replaces: list[str], problems: Problems) -> merged.Merged:
    """Reads the merged root filesystem of the layers below.

    Args:
      base: paths of the contents of base images and of the metadata of their layers, the lowest first.
      layers: paths of the metadata of the layers between the base and this one, the lowest first.
      names: the label of each of `layers`, as JSON.
      replaces: paths of lower entries that may be replaced by an entry of another kind.
      problems: gets entries of `layers` that replace one of another kind.
    """
    below = merged.Merged()
    # The base has no contents for a platform that is not valid.
    for path in base if not problems.concern("platform") else ():
        below.apply(files.read_json(path))
    problems += below.problems
    below.changed.clear()
    for path, name in zip(layers, names):
        for each in below.apply(files.read_json(path)):
            if each.path not in replaces:
                where = quote(each.path)
                what = f"{each.above} at {where} would replace {each.below} of a layer below; to replace it, add {where} to replaces"
                problems.append(problem("layers", json.loads(name), what))
    return below
