"""Makes images that hide a capability: some readers find no capability in them.

Each image is a directory or a file. Container engines either assign `cap_net_bind_service=ep` to a file of it, or refuse it.
"""

from __future__ import annotations

import io
import json
import pathlib
import tarfile
from collections.abc import Callable, Mapping

from support.image import layout, tar

CAPABILITY = bytes.fromhex("0100000200040000000000000000000000000000")
_RECORD = b"SCHILY.xattr.security.capability"
_PROGRAM = b"\x7fELF"
_END = bytes(1024)


def make_header(
    name: bytes, size: int = 0, kind: bytes = b"0", *, link: bytes = b"", fields: Mapping[int, bytes] | None = None
) -> bytes:
    """Returns a tar header.

    Args:
      name: the name, at most 100 bytes.
      size: the size of the content in bytes.
      kind: the type flag.
      link: the target of a link, at most 100 bytes.
      fields: other bytes by their offset in the header; the checksum includes them.
    """
    block = bytearray(512)
    standard = {0: name, 100: b"0000755\0", 108: b"0000000\0", 116: b"0000000\0", 124: b"%011o\0" % size, 136: b"%011o\0" % 0}
    for offset, value in {**standard, 148: b" " * 8, 156: kind, 157: link, 257: b"ustar\x0000", **(fields or {})}.items():
        block[offset : offset + len(value)] = value
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block)


def pad(data: bytes) -> bytes:
    """Returns the content of an entry with its padding."""
    return data + bytes(-len(data) % 512)


def make_pax_header(value: bytes | None = None) -> bytes:
    """Returns a pax header that assigns a capability to the next entry.

    Args:
      value: the value of the attribute, in place of CAPABILITY.
    """
    body = _RECORD + b"=" + (CAPABILITY if value is None else value) + b"\n"
    length = len(body) + 3
    record = b"%d %s" % (length, body)
    assert len(record) == length
    return make_header(b"PaxHeaders/x", len(record), b"x") + pad(record)


def _file(name: bytes, **options: Mapping[int, bytes]) -> bytes:
    return make_header(name, len(_PROGRAM), **options) + pad(_PROGRAM)


def _nul_before_a_number(path: pathlib.Path) -> pathlib.Path:
    """Go reads 512 as the size of "a"; other readers read the content of "a" as a header, which covers the capable file."""
    inner = make_pax_header() + _file(b"app")
    outer = make_header(b"a", 512, fields={124: b"\0" + b"%010o\0" % 512}) + make_header(b"covers", len(inner))
    return layout(path, outer + inner + _END)


def _prefix_in_a_gnu_header(path: pathlib.Path) -> pathlib.Path:
    """Go joins the prefix and the name, so that the second entry does not replace the first."""
    first = _file(b"app", fields={257: b"ustar  \0", 345: b"usr/bin"})
    return layout(path, make_pax_header() + first + _file(b"app") + _END)


def _link_before_an_opaque_whiteout(path: pathlib.Path) -> pathlib.Path:
    hidden = (
        make_pax_header() + make_header(b"d/y", kind=b"1", link=b"x") + make_header(b"d/.wh..wh..opq") + make_header(b".wh.x")
    )
    return layout(path, tar(("/x", CAPABILITY, "file")), hidden + _END)


def _link_that_is_replaced(path: pathlib.Path) -> pathlib.Path:
    """The other name of the file keeps the capability of the link."""
    return layout(path, _file(b"x") + make_pax_header() + make_header(b"t", kind=b"1", link=b"x") + _file(b"t") + _END)


def _link_without_a_record(path: pathlib.Path) -> pathlib.Path:
    return layout(path, tar(("/a", CAPABILITY, "file"), ("/b", None, "=/a")))


def _attribute_of_no_bytes(path: pathlib.Path) -> pathlib.Path:
    """The kernel does not start such a file."""
    return layout(path, tar(("/app", b"", "file")))


def _attribute_of_revision_1(path: pathlib.Path) -> pathlib.Path:
    return layout(path, tar(("/app", bytes.fromhex("010000010004000000000000"), "file")))


def _record_of_libarchive(path: pathlib.Path) -> pathlib.Path:
    """bsdtar reads its own record, container engines do not."""
    import base64

    value = base64.b64encode(CAPABILITY).rstrip(b"=")
    body = b"LIBARCHIVE.xattr.security.capability=" + value + b"\n"
    record = b"%d %s" % (len(body) + 3, body)
    return layout(path, make_header(b"PaxHeaders/x", len(record), b"x") + pad(record) + _file(b"app") + _END)


def _manifest_key_in_another_case(path: pathlib.Path) -> pathlib.Path:
    """Go reads "Layers" as "layers", and the last one counts."""
    return _changed_manifest(path, lambda text, layers: text[:-1] + ', "Layers": ' + json.dumps(layers) + "}")


def _manifest_key_twice(path: pathlib.Path) -> pathlib.Path:
    """A reader that takes the first of two keys sees another layer."""
    return _changed_manifest(path, lambda text, layers: '{"layers": ' + json.dumps(layers) + ", " + text[1:])


def _changed_manifest(path: pathlib.Path, change: Callable[[str, object], str]) -> pathlib.Path:
    """Writes an image without capabilities whose manifest also names the layer of an image with one."""
    import hashlib

    layout(path, tar(("/app", None, "file")))
    other = layout(path / "other", tar(("/app", CAPABILITY, "file")))
    index = json.loads((path / "index.json").read_bytes())
    manifest = _blob(path, index["manifests"][0])
    layers = json.loads(_blob(other, json.loads((other / "index.json").read_bytes())["manifests"][0]))["layers"]
    text = change(manifest.decode(), layers).encode()
    digest = hashlib.sha256(text).hexdigest()
    (path / "blobs/sha256" / digest).write_bytes(text)
    for blob in (other / "blobs/sha256").iterdir():
        blob.rename(path / "blobs/sha256" / blob.name)
    index["manifests"][0].update(digest=f"sha256:{digest}", size=len(text))
    (path / "index.json").write_text(json.dumps(index))
    return path


def _blob(path: pathlib.Path, descriptor: dict[str, str]) -> bytes:
    return (path / "blobs/sha256" / descriptor["digest"].removeprefix("sha256:")).read_bytes()


def _large_manifest_in_an_archive(path: pathlib.Path) -> pathlib.Path:
    """A manifest.json that exceeds the limit must not turn the archive into a tar of files."""
    return _archive(path, " " * (9 << 20))


def _other_image_in_manifest_json(path: pathlib.Path) -> pathlib.Path:
    """index.json has an image without capabilities, and manifest.json one with a capability."""
    return _archive(path, "", plain=True)


def _archive(path: pathlib.Path, padding: str, plain: bool = False) -> pathlib.Path:
    """Writes an archive with the manifest.json of an image with a capability.

    Args:
      path: the path of the archive.
      padding: the text after the value in manifest.json.
      plain: whether the archive also has an index.json, of an image without capabilities.
    """
    source = layout(path.with_name(path.name + ".layout"), tar(("/app", CAPABILITY, "file")))
    index = json.loads((source / "index.json").read_bytes())
    manifest = json.loads(_blob(source, index["manifests"][0]))
    places = [
        "blobs/sha256/" + descriptor["digest"].removeprefix("sha256:") for descriptor in (manifest["config"], *manifest["layers"])
    ]
    saved = [{"Config": places[0], "RepoTags": ["test:1"], "Layers": places[1:]}]
    if plain:
        layout(source / "plain", tar(("/app", None, "file")))
        for blob in (source / "plain/blobs/sha256").iterdir():
            (source / "blobs/sha256" / blob.name).write_bytes(blob.read_bytes())
    with tarfile.open(path, "w") as archive:
        archive.add(source / "blobs", "blobs")
        if plain:
            archive.add(source / "plain/index.json", "index.json")
            archive.add(source / "oci-layout", "oci-layout")
        content = (json.dumps(saved) + padding).encode()
        entry = tarfile.TarInfo("manifest.json")
        entry.size = len(content)
        archive.addfile(entry, io.BytesIO(content))
    return path


HIDDEN: dict[str, Callable[[pathlib.Path], pathlib.Path]] = {
    function.__name__.lstrip("_"): function
    for function in (
        _attribute_of_no_bytes,
        _attribute_of_revision_1,
        _large_manifest_in_an_archive,
        _link_before_an_opaque_whiteout,
        _link_that_is_replaced,
        _link_without_a_record,
        _manifest_key_in_another_case,
        _manifest_key_twice,
        _nul_before_a_number,
        _other_image_in_manifest_json,
        _prefix_in_a_gnu_header,
        _record_of_libarchive,
    )
}
"""Functions that write an image to a new path and return the path, by what hides the capability."""
