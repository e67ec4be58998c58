"""Whether an image has just the capabilities that are expected."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

import capabilities
from getcap.images import Image
from packer.errors import InputError, problem


def expected(texts: Mapping[str, str], problems: list[str]) -> dict[str, capabilities.FileCapabilities]:
    """What is expected, by path.

    Args:
      texts: path -> what file_capabilities takes.
      problems: gets what is wrong.
    """
    found: dict[str, capabilities.FileCapabilities] = {}
    for path, text in texts.items():
        if not path.startswith("/"):
            problems.append(problem("expected", path, "not absolute"))
        try:
            known = capabilities.from_list([text])
            if known is not None:  # It is None for an empty list alone.
                found[path] = known
        except capabilities.CapabilityError as error:
            problems += [f"expected: {said}" for said in error.problems]
    return found


def differences(images: Sequence[Image], wanted: Mapping[str, capabilities.FileCapabilities]) -> list[str]:
    """What is other than expected, a sentence each, with what to write if that is right; nothing if all is as expected.

    Args:
      images: one for each platform.
      wanted: by path, of all files.
    """
    said: list[str] = []
    for image in images:
        where = f" ({image.platform})" if len(images) > 1 else ""
        said += image.problems
        for path in sorted(wanted.keys() | image.capabilities.keys()):
            have, want = image.capabilities.get(path), wanted.get(path)
            if have == want:
                continue
            found = have.to_text() if have is not None else "no capabilities"
            what = f"has {found}, and {want.to_text()} is expected" if want is not None else f"has {found}, which is not expected"
            said.append(problem("expected", path, what + where))
    if not said:
        return []
    present = {path: known.to_text() for image in images for path, known in sorted(image.capabilities.items())}
    lines = "".join(f"\n    {json.dumps(path)}: {json.dumps(text)}," for path, text in present.items())
    return [*said, "if the image is right, write\n  expected = {" + lines + ("\n  }," if lines else "},")]


def check(images: Sequence[Image], texts: Mapping[str, str]) -> list[str]:
    """expected() and differences().

    Raises:
      InputError: what is expected is wrong.
    """
    problems: list[str] = []
    wanted = expected(texts, problems)
    if problems:
        raise InputError(problems)
    return differences(images, wanted)
