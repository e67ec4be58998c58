"""Packs entries into a blob, and says its digests and capabilities."""

from __future__ import annotations

import json

from .. import entries, files, grants, layer, styles
from ..errors import InputError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Container

    from ..arguments import Arguments


def run(arguments: Arguments, problems: list[str]) -> None:
    output, metadata = arguments.one("output"), arguments.one("metadata")
    mtime = arguments.number("mtime", "0")
    if stamp := arguments.one("stamp", ""):
        from .. import stamps  # This and the like where it is used: few layers need it, and loading takes time.

        mtime = stamps.timestamp(stamp)
    blob = arguments.blob()
    wanted, changed = arguments.all("capabilities"), arguments.all("change")
    if held := arguments.one("capabilities-from", ""):
        wanted += grants.held(held, arguments.one("capabilities-to"), problems)
    parents, hard_links = arguments.one("parents", "all"), arguments.one("hard-links", "")
    below = arguments.all("below"), arguments.one("below-layout", ""), arguments.one("platform", "")
    style = styles.STYLES[arguments.one("style", "plain")]
    elsewhere = arguments.one("elsewhere", "")
    arguments.end()

    found = entries.read(arguments.entries, problems, arguments.digests)
    entries.set_directories(found, style.directory_mode)
    if changed:
        from .. import changes

        changes.apply(changed, found, problems)
    entries.settle_links(found, problems)
    entries.add_parents(found, _present(parents, *below), style.directory_mode, problems)
    parsed = grants.parse(wanted, problems)
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
