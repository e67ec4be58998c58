"""The usability of privileges, as getcap --review computes it, is what the kernel does."""

from __future__ import annotations

import mmap
import os
import pathlib
import re
import subprocess

import pytest

from rules_setcap import capabilities
from rules_setcap.capabilities.names import NAMES
from rules_setcap.containers.engines import BEHAVIOURS, Engine
from rules_setcap.getcap.privileges import NO, PARTLY, YES, PrivilegedFile
from rules_setcap.getcap.review_image import review_image
from rules_setcap.oci import image_reader
from support import packer, require
from support.container import Bundle

PROBE = pathlib.Path("tests/runtime/probe")
SAMPLE = [
    "chown",
    "net_bind_service",
    "net_raw",
    "setuid",
    "setfcap",
    "sys_chroot",
    "mknod",
    "audit_write",
    "net_admin",
    "sys_ptrace",
    "bpf",
]
FILES = {f"/app/{name}_{flags}": f"cap_{name}={flags}" for name in SAMPLE for flags in ("p", "ep", "ei")}
FILES["/app/two"] = "cap_net_bind_service,cap_bpf=p"


def _read_bounding_set() -> int:
    """Returns the bounding set of the test, as a mask; a container on this machine cannot have more."""
    text = pathlib.Path("/proc/self/status").read_text()
    return int(re.search(r"^CapBnd:\s*([0-9a-f]+)$", text, re.MULTILINE)[1], 16)


@pytest.fixture(scope="module")
def image_and_bundle(tmp_path_factory) -> tuple[image_reader.Image, Bundle]:
    """Returns an image with the files, and a container in whose root filesystem GNU tar unpacked them."""
    require.root()
    layer = packer.Layer(tmp_path_factory.mktemp("layer"))
    for path in FILES:
        layer.add(path, PROBE.read_bytes())
    layer.add("/app/su", PROBE.read_bytes(), mode="4755")
    assert layer.pack(*(packer.assign(path, text) for path, text in FILES.items())) == (0, "")
    bundle = Bundle(pathlib.Path("tests/runtime/probe_none"), tmp_path_factory.mktemp("bundle"))
    subprocess.run([require.tool("tar"), "--xattrs", "--xattrs-include=*", "-xpf", layer.blob, "-C", bundle.rootfs], check=True)
    (image,) = image_reader.read_images(str(layer.blob))
    image.config["config"] = {"User": "65532"}
    return image, bundle


def _review_files(image: image_reader.Image) -> dict[str, PrivilegedFile]:
    """Returns the files of an image with their usability under every engine, by path."""
    return {file.path: file for file in review_image(image, [Engine(name) for name in BEHAVIOURS]).files}


@pytest.mark.parametrize("runtime", BEHAVIOURS)
def test_the_default_usability_is_what_the_kernel_does(image_and_bundle: tuple[image_reader.Image, Bundle], runtime: str):
    """Runs every file in a container with the bounding set that the runtime grants by default."""
    image, bundle = image_and_bundle
    default = BEHAVIOURS[runtime][-1].default_capabilities
    assert not default & ~_read_bounding_set()
    names = [name.upper() for bit, name in enumerate(NAMES) if default >> bit & 1]
    files = _review_files(image)
    assert set(files) == {*FILES, "/app/su"}
    answers = set()
    for path, file in files.items():
        usability = file.usability[runtime]
        outcome = bundle.run(bounding=names, args=[path])
        answers.add(usability.answer)
        if "does not start" in usability.reason:
            assert usability.answer == NO
            assert outcome.status != 0 and "operation not permitted" in outcome.output, path
            continue
        assert outcome.status == 0, (path, outcome)
        permitted = int(re.search(r"^CapPrm:\s*([0-9a-f]+)$", outcome.output, re.MULTILINE)[1], 16)
        assert permitted == usability.capabilities, path
        expected = file.assigned or default
        assert usability.answer == (YES if permitted == expected else PARTLY if permitted else NO), path
    assert answers == {YES, PARTLY, NO}


@pytest.mark.parametrize("privilege", ["capabilities", "set-user-ID"])
@pytest.mark.parametrize("how", ["write", "mmap"])
def test_a_write_through_a_shared_mapping_keeps_privileges(tmp_path: pathlib.Path, privilege: str, how: str):
    """write(2) clears them. Rule RSC201 depends on the difference."""
    require.root()
    tmp_path.chmod(0o755)
    path = tmp_path / "file"
    path.write_bytes(b"old")
    path.chmod(0o4777 if privilege == "set-user-ID" else 0o777)
    value = capabilities.from_text("cap_net_bind_service=ep").to_xattr()
    if privilege == "capabilities":
        os.setxattr(path, "security.capability", value)
    directory = os.open(tmp_path, os.O_RDONLY)
    child = os.fork()
    if child == 0:
        try:
            os.setgroups([])
            os.setgid(65532)
            os.setuid(65532)
            file = os.open("file", os.O_RDWR, dir_fd=directory)
            if how == "write":
                os.write(file, b"new")
            else:
                with mmap.mmap(file, 3, mmap.MAP_SHARED) as mapped:
                    mapped[:] = b"new"
            os._exit(0)
        finally:
            os._exit(1)
    os.close(directory)
    assert os.waitpid(child, 0)[1] == 0
    assert path.read_bytes() == b"new"
    keeps = path.stat().st_mode & 0o4000 if privilege == "set-user-ID" else "security.capability" in os.listxattr(path)
    assert bool(keeps) == (how == "mmap")
