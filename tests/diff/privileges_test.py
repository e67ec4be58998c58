"""image_diff reports first what a container sees: capabilities, set-ID bits, and programs that have them."""

from __future__ import annotations

import tarfile

from diff_runs import ADMIN, BASE, NET, run  # noqa: F401 (run is a fixture)

from support.image import layout, tar


def test_a_report_begins_with_what_a_container_sees(tmp_path, run):
    before = tar(("/app", NET, "program"), ("/b", None, "one\n"), ("/gone", None, "file"))
    after = tar(("/app", ADMIN, "program"), ("/b", None, "two\n", {"mode": 0o4755, "mtime": 5, "uid": 7}), ("/new", None, "xyz"))
    first = layout(tmp_path / "a", BASE, before, Env=["A=1", "B=2"])
    second = layout(tmp_path / "b", BASE, after, Env=["A=1", "B=3"])
    result = run(first, second)
    assert result.status == 1
    lines = [line for line in result.output.splitlines() if "sha256:" not in line]
    assert lines == [
        "differs: config, mtime, owner, mode, capabilities, entries and content, in layer 2 of 2",
        "",
        "capabilities in the merged root filesystem, which a container sees",
        "  /app  cap_net_bind_service=p -> cap_net_bind_service,cap_sys_admin=p",
        "",
        "config",
        '  config.Env.B  "2" -> "3"',
        "",
        "layer 2 of 2",
        "  mtime",
        "    /b  1970-01-01T00:00:00Z -> 1970-01-01T00:00:05Z",
        "  owner",
        "    /b  uid  0 -> 7",
        "  mode",
        "    /b  0755 -> 4755",
        "        gains the set-user-ID bit",
        "  capabilities",
        "    /app  cap_net_bind_service=p -> cap_net_bind_service,cap_sys_admin=p",
        "  entries",
        "    - /gone  file, 0 bytes, mode 0755, owner 0:0",
        "    + /new  file, 3 bytes, mode 0755, owner 0:0",
        *lines[21:],
    ]
    assert lines[21] == "  content" and lines[22].startswith("    /b  ")


def test_a_removed_capability_of_a_lower_layer_is_seen(tmp_path, run):
    lower = tar(("/app", NET, "file"), ("/kept", NET, "file"))
    before = layout(tmp_path / "a", lower, tar(("/x", None, "file")))
    after = layout(tmp_path / "b", lower, tar(("/.wh.app", None, "file")))
    result = run(before, after)
    assert "  /app  cap_net_bind_service=p -> no such file\n" in result.output
    assert "/kept" not in result.output
    assert "a whiteout: deletes /app of the layers below" in result.output


def test_set_id_bits_are_named_where_they_matter(tmp_path, run):
    def write(name, *members):
        return layout(tmp_path / name, BASE, *members)

    first = write("a", tar(("/su", None, "x", {"mode": 0o6755, "uid": 1000, "gid": 50})))
    result = run(first, write("b", tar(("/su", None, "x", {"mode": 0o6755, "uid": 0, "gid": 50}))))
    assert result.output.endswith("    /su  uid  1000 -> 0\n        set-user-ID=0\n")
    result = run(first, write("c", tar(("/sg", None, "x", {"mode": 0o2755, "gid": 42}))))
    assert "    + /sg  file, 1 bytes, mode 2755, owner 0:42\n        set-group-ID=42\n" in result.output
    result = run(first, write("d"))
    assert "/su has set-user-ID=1000, set-group-ID=50" in result.output


def test_other_content_of_a_file_with_privileges_names_them(tmp_path, run):
    """A reviewer looks at such a file first, whether the content is described or not."""

    def write(name, content):
        entries = [("/app", NET, content), ("/su", None, content, {"mode": 0o4755}), ("/plain", None, content)]
        return layout(tmp_path / name, tar(*entries))

    first, second = write("a", "old\n"), write("b", "new\n")
    result = run(first, second)
    assert result.output.count("the file has ") == 2
    assert "    /app  text: 1 line removed, 1 added\n        the file has capabilities cap_net_bind_service=p\n" in result.output
    assert "    /su  text: 1 line removed, 1 added\n        the file has set-user-ID=0\n" in result.output


def test_other_bytes_of_the_same_capabilities_are_shown(tmp_path, run):
    paths = []
    for revision, end in (("02", ""), ("03", "00000000")):
        value = bytes.fromhex(f"010000{revision}00040000000000000000000000000000{end}").decode()
        with tarfile.open(tmp_path / revision, "w", format=tarfile.PAX_FORMAT) as archive:
            info = tarfile.TarInfo("app")
            info.pax_headers = {"SCHILY.xattr.security.capability": value}
            archive.addfile(info)
        paths.append(tmp_path / revision)
    result = run(*paths)
    assert result.verdict == "differs: capabilities, in layer 1 of 1"
    assert "the bytes of the attribute: 01000002000400000000000000" in result.output
