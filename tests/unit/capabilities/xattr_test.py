"""`security.capability` is encoded and decoded as the kernel does it."""

from __future__ import annotations

import errno
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rules_setcap import capabilities
from rules_setcap.capabilities import CapabilityError, FileCapabilities
from support import require

sets = st.integers(0, (1 << 64) - 1)
rootids = st.one_of(st.just(0), st.integers(1, 0xFFFFFFFE))


@given(sets, sets, st.booleans(), rootids)
def test_decoding_reverses_encoding(permitted, inheritable, effective, rootid):
    value = FileCapabilities(permitted, inheritable, (permitted | inheritable) if effective else 0, rootid)
    data = value.to_xattr()
    assert len(data) == (24 if rootid else 20)
    assert capabilities.from_xattr(data) == value


def test_a_rootid_is_encoded_as_revision_3():
    data = FileCapabilities(1 << 39, 0, 1 << 39, 1000).to_xattr()
    assert data.hex() == "01000003" + "00000000" + "00000000" + "80000000" + "00000000" + "e8030000"


def test_revision_3_with_rootid_0_means_revision_2():
    data = bytes.fromhex("01000003" + "00040000" + "00000000" * 4)
    assert capabilities.from_xattr(data).to_xattr().hex() == "01000002" + "00040000" + "00000000" * 3


V2 = "00000002" + "00040000" + "00000000" * 3
REFUSED = {
    "": "0 bytes are too few",
    "000000": "3 bytes are too few",
    "01000001" + "00040000" + "00000000": r".squashfs, EROFS. the kernel reads it as cap_net_bind_service=ep; write revision 2",
    "00000001" + "00000000" * 2: r"revision 1 of security.capability, which setxattr\(2\) refuses",
    "00000001" + "00000000" * 4: r"revision 1 of security.capability; setxattr\(2\) takes 2 and 3",
    "00000004" + "00000000" * 4: "revision 4",
    V2[:-2]: "19 bytes; revision 2 of security.capability has 20",
    V2 + "00": "21 bytes; revision 2",
    V2 + "00000000": "24 bytes; revision 2",
    "00000003" + "00000000" * 4: "20 bytes; revision 3 of security.capability has 24",
    "02000002" + "00000000" * 4: "unknown flags 0x2",
    "00000003" + "00000000" * 4 + "ffffffff": "rootid 4294967295 is out of range",
}


@pytest.mark.parametrize("data", REFUSED)
def test_a_value_that_the_kernel_refuses_is_refused(data, tmp_path):
    with pytest.raises(CapabilityError, match=REFUSED[data]):
        capabilities.from_xattr(bytes.fromhex(data))
    require.root()
    file = tmp_path / "file"
    file.touch()
    with pytest.raises(OSError) as caught:
        os.setxattr(file, "security.capability", bytes.fromhex(data))
        os.getxattr(file, "security.capability")
    assert caught.value.errno in (errno.EINVAL, errno.EPERM)


@pytest.mark.parametrize("text", ["cap_setuid=ep", "cap_ipc_owner=p", "cap_sys_nice=i", "cap_setfcap=eip", "cap_bpf=ep"])
def test_a_value_that_became_text_is_named(text):
    """Each has a byte from 0x80 on, which becomes two in UTF-8 text: this is what pax_records of rules_img makes."""
    value = capabilities.from_text(text).to_xattr()
    with pytest.raises(CapabilityError, match=f"has 20; this is the value of {text}, written as UTF-8 text"):
        capabilities.from_xattr(value.decode("latin-1").encode())
    with pytest.raises(CapabilityError, match=r"has 20$"):
        capabilities.from_xattr(value.decode("ascii", "replace").encode())


@pytest.mark.parametrize(
    "value, message",
    [
        (FileCapabilities(1 << 64, 0, 0), "a file holds capabilities 0 to 63"),
        (FileCapabilities(0, -1, 0), "a file holds capabilities 0 to 63"),
        (FileCapabilities(1, 0, 0, 0xFFFFFFFF), r"rootid 4294967295: out of range \(1 to 4294967294, or 0 for no rootid\)"),
        (FileCapabilities(1, 0, 0, -1), "rootid -1"),
        (FileCapabilities(3, 0, 1), "effective for some capabilities only"),
    ],
)
def test_capabilities_that_no_file_can_hold_are_not_encoded(value, message):
    with pytest.raises(CapabilityError, match=message):
        value.to_xattr()
