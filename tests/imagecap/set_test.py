"""`imagecap set` assigns and removes capabilities, and reports what is wrong without writing anything."""

from __future__ import annotations

import os

import pytest
from layouts import ELF, Layout
from running import run_imagecap, set_capabilities
from samples import GRANT, LOWER, NET, WAYS, image, read_capabilities, way  # noqa: F401 (image and way are fixtures)

from support.image import tar


def test_links_are_followed_as_engines_do(tmp_path, image, way):
    set_capabilities(*way, image, tmp_path / "new", "/bin/nginx=bpf")
    expected = {"/usr/bin/nginx": "cap_bpf=p", "/usr/bin/ping": "cap_net_bind_service=ep"}
    if way == WAYS["rewrite"]:  # In a new layer, only the named file is copied.
        expected["/usr/bin/alias"] = "cap_bpf=p"
    assert read_capabilities(tmp_path / "new") == expected


def test_capabilities_are_taken_away(tmp_path, image, way):
    set_capabilities(*way, image, tmp_path / "one", "/usr/bin/ping=")
    assert read_capabilities(tmp_path / "one") == {}
    set_capabilities(*way, "--strip", image, tmp_path / "all")
    assert read_capabilities(tmp_path / "all") == {}
    set_capabilities(*way, "--only", image, tmp_path / "only", "/usr/bin/nginx=bpf")
    assert set(read_capabilities(tmp_path / "only").values()) == {"cap_bpf=p"}


def test_capabilities_are_taken_away_from_files_that_cannot_have_them(tmp_path, way):
    layout = Layout(tmp_path / "image")
    files = [("/script", NET, b"#!/bin/sh\n"), ("/text", NET, b"text"), ("/data", NET, ELF, {"mode": 0o644})]
    image = layout.write_index(layout.put_image(tar(*files)))
    set_capabilities(*way, image, tmp_path / "one", "/script=", "/text=", "/data=")
    assert read_capabilities(tmp_path / "one") == {}
    set_capabilities(*way, "--strip", image, tmp_path / "all")
    assert read_capabilities(tmp_path / "all") == {}


def test_an_invalid_attribute_is_removed_where_it_is(tmp_path):
    layout = Layout(tmp_path / "image")
    image = layout.write_index(layout.put_image(tar(("/bad", b"x", ELF), ("/good", None, ELF))))
    done = run_imagecap("set", "--compression=zlib", image, tmp_path / "new", "/good=bpf")
    what = "has an invalid security.capability attribute, so that engines do not unpack its layer; write --rewrite and"
    assert (done.status, done.stderr) == (2, f'imagecap: file: "/bad": {what} "/bad="\n')
    set_capabilities("--rewrite", image, tmp_path / "new", "/bad=", "/good=bpf")
    assert read_capabilities(tmp_path / "new") == {"/good": "cap_bpf=p"}


def test_an_image_without_capabilities_stays_as_it_is_when_it_is_stripped(tmp_path, way):
    layout = Layout(tmp_path / "image")
    image = layout.write_index(layout.put_image(LOWER))
    report = set_capabilities(*way, "--strip", image, tmp_path / "new")
    assert report["images"][0]["before"] == report["images"][0]["after"]
    for path in image.rglob("*"):
        if path.is_file():
            assert (tmp_path / "new" / path.relative_to(image)).read_bytes() == path.read_bytes()


PROBLEMS = {
    "/usr/bin/ngin=bpf": 'file: "/usr/bin/ngin": no file of the image has this path; did you mean "/usr/bin/nginx"?',
    "/usr/bin/link=bpf": 'file: "/usr/bin/link": a symbolic link; the kernel looks at the file it leads to: name "/usr/bin/nginx"',
    "/usr/bin/script=bpf": 'file: "/usr/bin/script": a script; the kernel ignores its capabilities',
    "/usr/bin/data=bpf": 'file: "/usr/bin/data": mode 0644 has no execute bit',
    "/usr/bin/text=bpf": 'file: "/usr/bin/text": not an ELF program; the kernel ignores its capabilities',
    "/usr/bin=bpf": 'file: "/usr/bin": a directory; capabilities are for programs',
    "/usr/bin/nginx=net_bind_servce": 'file: "/usr/bin/nginx": "net_bind_servce": unknown capability; did you mean',
    "/usr/bin/nginx=cap_bpf=ep cap_chown=p": 'file: "/usr/bin/nginx": "cap_bpf=ep cap_chown+p": effective for some capabilities only',
    "usr/bin/nginx=bpf": 'file: "usr/bin/nginx": must be absolute; write "/usr/bin/nginx"',
    "nginx=bpf": 'file: "nginx=bpf": must begin with an absolute path; write "/nginx=bpf"',
    "./usr/bin/nginx=bpf": 'file: "./usr/bin/nginx": must be absolute; write "/usr/bin/nginx"',
    "=bpf": 'file: "=bpf": must be an absolute path, =, and capability text; for instance "/app/server=cap_net_bind_service=p"',
    "": 'file: "": must be an absolute path, =, and capability text; for instance "/app/server=cap_net_bind_service=p"',
    "/=bpf": 'file: "/": must not be the root directory',
    "/usr/bin/*=bpf": 'file: "/usr/bin/*": no file of the image has this path',
    "/usr/bin/nginx=cap_bpf=p [rootid=5]": '"cap_bpf=p [rootid=5]": a rootid cannot be assigned; leave out [rootid=...]',
    "/usr/bin/loop=bpf": 'file: "/usr/bin/loop": a symbolic link that leads to no file, because links go round at "/usr/bin/loop"',
    "/usr/bin/nginx": 'file: "/usr/bin/nginx": must be an absolute path, =, and capability text',
    "/usr/bin/../bin/nginx=bpf": 'must not have "//", "/./" or "/../"',
}


@pytest.mark.parametrize("argument", PROBLEMS)
def test_what_cannot_be_set_is_reported_and_nothing_is_written(tmp_path, image, way, argument):
    before = sorted(os.listdir(tmp_path))
    done = run_imagecap("set", *way, image, tmp_path / "new", argument)
    assert (done.status, done.stdout) == (2, "")
    assert PROBLEMS[argument] in done.stderr
    assert done.stderr.count("\n") == 1
    assert sorted(os.listdir(tmp_path)) == before


def test_all_problems_are_reported_at_once(tmp_path, image, way):
    done = run_imagecap("set", *way, image, tmp_path / "new", "/usr/bin/ngin=bpf", "/usr/bin/link=bpf", "/x=bpf")
    assert done.status == 2
    assert [line.split('"')[1] for line in done.stderr.splitlines()] == ["/usr/bin/ngin", "/usr/bin/link", "/x"]


def test_messages_have_no_words_of_rules(tmp_path, image, way):
    done = run_imagecap("set", *way, image, tmp_path / "new", "/usr/bin/data=bpf", GRANT, GRANT)
    assert done.stderr == 'imagecap: file: "/usr/bin/nginx": is there twice; keep one of the two\n'
    done = run_imagecap("set", *way, image, tmp_path / "new", "/usr/bin/data=bpf")
    assert done.stderr == 'imagecap: file: "/usr/bin/data": mode 0644 has no execute bit; capabilities are for programs\n'


def test_taking_away_nothing_is_noted(tmp_path, image, way):
    report = set_capabilities(*way, image, tmp_path / "new", "/usr/bin/nginx=", "/usr/bin/ping=")
    assert [note for note in report["notes"] if "/ping" in note] == []
    assert '"/usr/bin/nginx" has no capabilities, so that none are taken away' in report["notes"]


def test_a_file_is_not_set_twice(tmp_path, image, way):
    for first in ("bpf", ""):
        done = run_imagecap("set", *way, image, tmp_path / "new", f"/bin/nginx={first}", "/usr/bin/nginx=perfmon")
        what = 'file: "/usr/bin/nginx": the same file as "/usr/bin/nginx", which has capabilities already; keep one'
        assert (done.status, done.stderr) == (2, f"imagecap: {what}\n")
