"""setcap follows symbolic links of the tar, so that a path means the file that a container engine would unpack there."""

from __future__ import annotations

import json
import tarfile

from tars import END, NET_RAW, RECORD, carrying, make_tar, problems_of, retrofit, without_end, write

from support import packer

LINK = {"name": "l", "type": tarfile.SYMTYPE, "link": "d"}
DIRECTORY = {"name": "d", "type": tarfile.DIRTYPE}


def _read_capabilities(tmp_path) -> dict[str, str]:
    """Returns the capabilities of the entries by name, and those in the metadata by path."""
    with tarfile.open(tmp_path / "out") as archive:
        values = {
            entry.name: entry.pax_headers[RECORD].encode("utf-8", "surrogateescape")
            for entry in archive
            if RECORD in entry.pax_headers
        }
    assert set(values.values()) <= {NET_RAW}
    return dict.fromkeys(values, "cap_net_raw=ep"), json.loads((tmp_path / "metadata").read_text())["capabilities"]


def test_an_entry_through_a_symbolic_link_has_the_path_of_its_file(tmp_path):
    """All container engines unpack it there."""
    tar = write(tmp_path, without_end(make_tar(DIRECTORY, LINK, {"name": "l/x"})), END)
    assert retrofit(tmp_path, tar, packer.assign("/d/x", "cap_net_raw=ep")) == (0, "")
    assert _read_capabilities(tmp_path) == ({"l/x": "cap_net_raw=ep"}, {"/d/x": "cap_net_raw=ep"})
    contents = json.loads((tmp_path / "metadata").read_text())["contents"]
    assert (contents["files"], contents["links"]) == (["/d/x"], {"/l": "d"})


def test_a_path_through_a_symbolic_link_matches_nothing(tmp_path):
    tar = make_tar(DIRECTORY, LINK, {"name": "d/x"})
    assert problems_of(tmp_path, tar, packer.assign("/l/x", "cap_net_raw=ep")) == [
        'file_capabilities: "/l/x": no entry of the tar has this path; did you mean "/d/x"?'
    ]


def test_a_file_that_is_replaced_through_a_symbolic_link_is_a_problem(tmp_path):
    """The file would lose its capabilities."""
    tar = make_tar(DIRECTORY, LINK, {"name": "d/x"}, {"name": "l/x"})
    assert problems_of(tmp_path, tar, packer.assign("/d/x", "cap_net_raw=ep")) == [
        'tar: "/d/x": is there twice; unpackers take the later one, people may mean the other'
    ]


def test_a_hard_link_through_a_symbolic_link_has_the_record(tmp_path):
    """Container engines that call lchown(2) on a link would clear the capabilities otherwise."""
    tar = write(
        tmp_path,
        without_end(make_tar(DIRECTORY, LINK, {"name": "d/x"}, {"name": "h", "type": tarfile.LNKTYPE, "link": "l/x"})),
        END,
    )
    assert retrofit(tmp_path, tar, packer.assign("/d/x", "cap_net_raw=ep")) == (0, "")
    assert _read_capabilities(tmp_path) == (
        dict.fromkeys(["d/x", "h"], "cap_net_raw=ep"),
        dict.fromkeys(["/d/x", "/h"], "cap_net_raw=ep"),
    )


def test_a_hard_link_to_a_hard_link_has_the_record(tmp_path):
    links = [{"name": name, "type": tarfile.LNKTYPE, "link": target} for name, target in [("b", "a"), ("c", "b")]]
    tar = write(tmp_path, carrying("a", NET_RAW), without_end(make_tar(*links)), END)
    assert retrofit(tmp_path, tar) == (0, "")
    assert _read_capabilities(tmp_path)[0] == dict.fromkeys("abc", "cap_net_raw=ep")


def test_a_directory_that_is_replaced_with_its_entries_is_a_problem(tmp_path):
    tar = make_tar({"name": "d/x"}, {"name": "d"})
    assert problems_of(tmp_path, tar) == ['tar: "/d": replaces a directory that has entries; unpackers remove them']


def test_symbolic_links_in_a_circle_are_a_problem(tmp_path):
    tar = make_tar(
        {"name": "a", "type": tarfile.SYMTYPE, "link": "b"}, {"name": "b", "type": tarfile.SYMTYPE, "link": "a"}, {"name": "a/x"}
    )
    (line,) = problems_of(tmp_path, tar)
    assert line == 'tar: "in.tar": more than 40 symbolic links lead from "/a", after "/a/x"'
