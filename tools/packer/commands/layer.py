"""Packs entries into a blob, and says its digests and capabilities."""

from __future__ import annotations

import json

from .. import entries, files, grants, layer, styles
from .. import mtime as _mtime
from ..errors import InputError, about

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Container

    from ..arguments import Arguments


def run(arguments: Arguments, problems: list[str]) -> None:
    output, metadata = arguments.one("output"), arguments.one("metadata")
    mtime = _mtime.read(arguments, problems)
    blob = arguments.blob()
    wanted, changed = arguments.all("capabilities"), arguments.all("change")
    if held := arguments.one("capabilities-from", ""):
        wanted += grants.held(held, arguments.one("capabilities-to"), problems)
    parents, hard_links = arguments.one("parents", "all"), arguments.one("hard-links", "")
    below = arguments.all("below"), arguments.one("below-layout", ""), arguments.one("platform", "")
    style = styles.STYLES[arguments.one("style", "plain")]
    elsewhere = arguments.one("elsewhere", "")
    arguments.end()

    found = entries.read(arguments.entries, problems)
    entries.set_directories(found, style.directory_mode)
    wrong: list[str] = []
    parsed = grants.parse(wanted, wrong)
    if changed:
        from .. import changes

        copied = [grant.path for grant in parsed if elsewhere and grant.attribute == "file_capabilities"]
        changes.apply(changed, found, copied, problems)
    entries.settle_links(found, problems)
    # A base that cannot be read, or that is for another platform, is among the problems already.
    present = () if about(problems, "base", "platform") else _present(parents, *below)
    entries.add_parents(found, present, style.directory_mode, problems)
    problems += wrong
    if elsewhere:
        # Whether the layers below have the other paths is for the action "copy" to say.
        others = [grant for grant in parsed if grant.attribute == "file_capabilities" and grant.path not in found]
        parsed = [grant for grant in parsed if grant not in others]
    granted = grants.resolve(parsed, found, problems)
    if problems:
        raise InputError(problems)
    if hard_links:
        from .. import duplicates

        duplicates.link(found, granted)
    said = layer.write(output, found.values(), granted, mtime=mtime, style=style, **blob)
    files.write_whole(metadata, layer.encode(said))
    if elsewhere:
        files.write_whole(elsewhere, json.dumps(sorted(grant.path for grant in others)).encode())


class _Everything:
    """Every directory is there: none is added."""

    def __contains__(self, path: object) -> bool:
        return True


def _present(parents: str, metadata: list[str], layout: str, platform: str) -> Container[str]:
    """The directories that are not to be added."""
    if parents == "none":
        return _Everything()
    if parents == "all":
        return ()
    from .. import directories

    return directories.Below(metadata, layout, platform).load()
