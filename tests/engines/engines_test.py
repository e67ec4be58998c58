"""Every engine unpacks an image that has a capability, and refuses one that is damaged."""

from __future__ import annotations

import os
import pathlib
import tempfile
from collections.abc import Iterator

import pytest

from rules_setcap.capabilities import from_text
from support import engines
from support.image import layout, tar


@pytest.fixture(scope="module", params=engines.ENGINES)
def engine(request: pytest.FixtureRequest) -> Iterator[engines.Engine]:
    # The address of a socket has at most 107 bytes, and pytest's directories are longer.
    with (
        tempfile.TemporaryDirectory(prefix="engine", dir="/tmp") as state,
        engines.ENGINES[request.param](pathlib.Path(state)) as started,
    ):
        yield started


NET_RAW = from_text("cap_net_raw=ep")


def test_capabilities_of_two_layers(engine, tmp_path):
    below = tar(("/usr/bin/ping", NET_RAW, "file"), ("/usr/bin/plain", None, "file"))
    image = layout(tmp_path / "image", below, tar(("/app", NET_RAW, "file"), ("/usr/bin/.wh.plain", None, "file")))
    for _ in range(2):  # An engine forgets the image.
        with engine.unpack(image) as root:
            for path in ("app", "usr/bin/ping"):
                assert os.getxattr(root / path, "security.capability") == NET_RAW.to_xattr()
            assert not (root / "usr/bin/plain").exists()


def test_a_damaged_layer(engine, tmp_path):
    with pytest.raises(engines.Refused), engine.unpack(layout(tmp_path / "image", b"x" * 1024)):
        pass
