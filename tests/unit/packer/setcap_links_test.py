"""setcap knows the files that entries become: symbolic links of the same tar are followed in their parent directories."""

from __future__ import annotations

import json
import tarfile

from tars import END, NET_RAW, RECORD, carrying, make_tar, problems_of, retrofit, without_end, write

from support import packer

LINK = {"name": "l", "type": tarfile.SYMTYPE, "link": "d"}
DIRECTORY = {"name": "d", "type": tarfile.DIRTYPE}


def _capabilities(tmp_path) -> dict[str, str]:
    """Capabilities of the entries by name, and those in the metadata."""
    with tarfile.open(tmp_path / "out") as archive:
        values = {entry.name: entry.pax_headers[RECORD].encode("utf-8", "surrogateescape") for entry in archive if RECORD in entry.pax_headers}
    assert set(values.values()) <= {NET_RAW}
    return dict.fromkeys(values, "cap_net_raw=ep"), json.loads((tmp_path / "metadata").read_text())["capabilities"]


def test_an_entry_through_a_symbolic_link(tmp_path):
    """A grant names the file that it becomes; all engines unpack it there."""
    tar = write(tmp_path, without_end(make_tar(DIRECTORY, LINK, {"name": "l/x"})), END)
    assert retrofit(tmp_path, tar, packer.assign("/d/x", "cap_net_raw=ep")) == (0, "")
    assert _capabilities(tmp_path) == ({"l/x": "cap_net_raw=ep"}, {"/d/x": "cap_net_raw=ep"})
    contents = json.loads((tmp_path / "metadata").read_text())["contents"]
    assert (contents["files"], contents["links"]) == (["/d/x"], {"/l": "d"})


def test_a_grant_through_a_symbolic_link(tmp_path):
    tar = make_tar(DIRECTORY, LINK, {"name": "d/x"})
    assert problems_of(tmp_path, tar, packer.assign("/l/x", "cap_net_raw=ep")) == [
        'file_capabilities: "/l/x": no entry of the tar has this path; did you mean "/d/x"?'
    ]


def test_a_file_that_is_replaced_through_a_symbolic_link(tmp_path):
    """It would lose what the grant gives it."""
    tar = make_tar(DIRECTORY, LINK, {"name": "d/x"}, {"name": "l/x"})
    assert problems_of(tmp_path, tar, packer.assign("/d/x", "cap_net_raw=ep")) == [
        'tar: "/d/x": is there twice; unpackers take the later one, people may mean the other'
    ]


def test_a_hard_link_through_a_symbolic_link(tmp_path):
    """It repeats the record of its target: engines that call lchown would clear it."""
    tar = write(tmp_path, without_end(make_tar(DIRECTORY, LINK, {"name": "d/x"}, {"name": "h", "type": tarfile.LNKTYPE, "link": "l/x"})), END)
    assert retrofit(tmp_path, tar, packer.assign("/d/x", "cap_net_raw=ep")) == (0, "")
    assert _capabilities(tmp_path) == (dict.fromkeys(["d/x", "h"], "cap_net_raw=ep"), dict.fromkeys(["/d/x", "/h"], "cap_net_raw=ep"))


def test_a_hard_link_to_a_hard_link(tmp_path):
    links = [{"name": name, "type": tarfile.LNKTYPE, "link": target} for name, target in [("b", "a"), ("c", "b")]]
    tar = write(tmp_path, carrying("a", NET_RAW), without_end(make_tar(*links)), END)
    assert retrofit(tmp_path, tar) == (0, "")
    assert _capabilities(tmp_path)[0] == dict.fromkeys("abc", "cap_net_raw=ep")


def test_a_directory_that_is_replaced_with_its_entries(tmp_path):
    tar = make_tar({"name": "d/x"}, {"name": "d"})
    assert problems_of(tmp_path, tar) == ['tar: "/d": replaces a directory that has entries; unpackers remove them']


def test_symbolic_links_that_lead_to_each_other(tmp_path):
    tar = make_tar({"name": "a", "type": tarfile.SYMTYPE, "link": "b"}, {"name": "b", "type": tarfile.SYMTYPE, "link": "a"}, {"name": "a/x"})
    (line,) = problems_of(tmp_path, tar)
    assert line == 'tar: "in.tar": more than 40 symbolic links lead from "/a", after "/a/x"'
