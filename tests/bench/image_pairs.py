"""Pairs of images that differ in one known thing, for the comparison of programs that compare images."""

from __future__ import annotations

import copy
import gzip
import io
import os
import pathlib
import py_compile
import random
import subprocess
import tarfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass

from drawn_images import Entry, Image, Layer

_LATE = 1_795_726_776  # 2026-11-26 20:59:36
_SOURCE = "#include <stdio.h>\nint main(void) { puts(__FILE__); return 0; }\n"


@dataclass(frozen=True)
class Pair:
    """Two images that differ in one thing.

    Attributes:
      name: what differs, for the table.
      before, after: the images.
      where: a regular expression of what an output has that names the place: the entry or the field.
      what: a regular expression of what an output has that names the difference.
      document: whether the difference is in a config or a manifest, and not in a layer.
      raw: a regular expression of what an output has that names the difference, but in bytes or numbers that nobody reads.
    """

    name: str
    before: Image
    after: Image
    where: str
    what: str
    document: bool = False
    raw: str = "$^"


def make_pairs(directory: pathlib.Path) -> list[Pair]:
    """Returns the pairs.

    Args:
      directory: a directory for files that compilers read and write.
    """
    return [
        *_make_header_pairs(),
        *_make_layer_pairs(),
        *_make_content_pairs(_Files(directory)),
    ]


def make_large_pair(files: int) -> Pair:
    """Returns a pair with many small files and a large one, which differs in the capabilities of one file.

    Args:
      files: the number of small files. With 20,000 of them, the large one has 256 MiB.
    """
    chance = random.Random(1)
    entries = [
        Entry(f"/srv/{number % 200}/{number}.bin", content=chance.randbytes(3000 + number % 4000)) for number in range(files)
    ]
    entries.append(Entry("/srv/large", content=chance.randbytes(1 << 20) * (files * 256 // 20_000)))
    entries.append(Entry("/usr/bin/app", content=chance.randbytes(5000), mode=0o755))
    entries[-1].set_capabilities("cap_net_bind_service=p")
    before = Image([Layer(entries)], {"config": {}})
    after = Image([Layer([*entries[:-1], copy.deepcopy(entries[-1])])], {"config": {}})
    after.layers[0].entries[-1].set_capabilities("cap_net_bind_service,cap_sys_admin=p")
    return Pair("capability, in 400 MB", before, after, "usr/bin/app", "cap_sys_admin", raw=r"security\.capability")


def _make_image() -> Image:
    """Returns the image that the pairs are made from."""
    entries = [
        Entry("/usr/bin/app", content=b"program" * 100, mode=0o755),
        *(Entry(f"/usr/lib/part{number}", content=f"part {number}\n".encode() * 50) for number in range(5)),
        Entry("/usr/lib/link", tarfile.SYMTYPE, link="part0", mode=0o777),
    ]
    entries[0].set_capabilities("cap_net_bind_service=p")
    config = {
        "created": "1970-01-01T00:00:00Z",
        "config": {"User": "65532", "Env": ["PATH=/bin", "REVISION=one"]},
        "history": [{"created_by": "base"}, {"created_by": "app"}],
    }
    return Image([Layer([Entry("/bin/sh", content=b"sh", mode=0o755)], "gzip"), Layer(entries, "gzip")], config)


def _make_pair(
    name: str, change: Callable[[Image], object], where: str, what: str, *, document: bool = False, raw: str = "$^"
) -> Pair:
    """Returns a pair whose second image was changed."""
    before, after = _make_image(), _make_image()
    change(after)
    return Pair(name, before, after, where, what, document, raw)


def _set(**fields: object) -> Callable[[Image], object]:
    """Returns a function that changes fields of the first entry of the second layer."""

    def change(image: Image) -> None:
        for name, value in fields.items():
            setattr(image.layers[1].entries[0], name, value)

    return change


def _make_header_pairs() -> list[Pair]:
    """Returns pairs that differ in the header of an entry."""
    app, raw = "usr/bin/app", r"security\.capability"
    return [
        _make_pair(
            "capability", lambda image: image.layers[1].entries[0].set_capabilities("cap_net_raw=p"), app, "cap_net_raw", raw=raw
        ),
        _make_pair(
            "capability removed", lambda image: image.layers[1].entries[0].records.clear(), app, "cap_net_bind_service", raw=raw
        ),
        _make_pair(
            "another extended attribute",
            lambda image: image.layers[1].entries[0].records.update({"SCHILY.xattr.user.note": "two"}),
            app,
            r"user\.note",
        ),
        _make_pair("mtime", _set(mtime=_LATE), app, "2026-11-26"),
        _make_pair("owner", _set(uid=1234), app, "1234"),
        _make_pair("mode", _set(mode=0o4755), app, "4755|rws", raw=str(0o4755)),
        _make_pair(
            "target of a link", lambda image: setattr(image.layers[1].entries[-1], "link", "part1"), "usr/lib/link", "part1"
        ),
    ]


def _make_layer_pairs() -> list[Pair]:
    """Returns pairs that differ in a layer as a whole, in the config or in the manifest."""

    def move(image: Image) -> None:
        entries = image.layers[1].entries
        entries.insert(5, entries.pop(1))

    def compress(image: Image) -> None:
        image.layers[1].gzip_time = _LATE

    def set_variable(image: Image) -> None:
        image.config["config"]["Env"][1] = "REVISION=two"

    def annotate(image: Image) -> None:
        image.manifest["annotations"] = {"org.example.revision": "two"}

    def add_layer(image: Image) -> None:
        image.layers.append(Layer([Entry("/opt/extra", content=b"extra")], "gzip"))
        image.config["history"].append({"created_by": "extra"})

    return [
        _make_pair("order of entries", move, "usr/lib/part0", r"order|(?m:^[│ ]*[-+].*usr/lib/part0)"),
        _make_pair("compression of a layer", compress, "layer|gz", "compress|modified|time"),
        _make_pair(
            "added entry",
            lambda image: image.layers[1].entries.append(Entry("/opt/extra", content=b"x")),
            "opt/extra",
            "opt/extra",
        ),
        _make_pair("added layer", add_layer, "opt/extra|layer", "opt/extra"),
        _make_pair("config field", set_variable, "Env|REVISION", "REVISION.*two|one.*two", document=True),
        _make_pair(
            "manifest field", annotate, r"annotations|org\.example\.revision", r"org\.example\.revision.*two", document=True
        ),
    ]


class _Files:
    """Makes the contents of files that differ in one thing."""

    def __init__(self, directory: pathlib.Path) -> None:
        self._directory = directory

    def compile_program(self, name: str, *flags: str) -> bytes:
        """Returns a program that gcc made from a source in a directory with a name."""
        source = self._directory / name / "main.c"
        source.parent.mkdir(exist_ok=True)
        source.write_text(_SOURCE)
        program = self._directory / "program"
        subprocess.run(["gcc", "-o", program, *flags, source], check=True)
        return program.read_bytes()

    def compile_python(self, time: int) -> bytes:
        """Returns a module that Python compiled from a source with a time."""
        source = self._directory / "module.py"
        source.write_text("def answer():\n    return 42\n")
        os.utime(source, (time, time))
        compiled = self._directory / "module.pyc"
        mode = py_compile.PycInvalidationMode.TIMESTAMP
        py_compile.compile(str(source), cfile=str(compiled), dfile="/app/module.py", doraise=True, invalidation_mode=mode)
        return compiled.read_bytes()

    def archive(self, flags: str) -> bytes:
        """Returns an ar archive of a file."""
        (self._directory / "part.o").write_bytes(b"object")
        archive = self._directory / "part.a"
        archive.unlink(missing_ok=True)
        subprocess.run(["ar", flags, archive, "part.o"], cwd=self._directory, check=True, capture_output=True)
        return archive.read_bytes()


def _zip(year: int) -> bytes:
    """Returns a zip archive whose second member has a time in a year."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, time in (("META-INF/MANIFEST.MF", 1980), ("com/example/Main.class", year)):
            archive.writestr(zipfile.ZipInfo(name, (time, 1, 1, 0, 0, 0)), b"content " * 40)
    return file.getvalue()


def _make_content_pairs(files: _Files) -> list[Pair]:
    """Returns pairs that differ in the content of a file."""
    data = random.Random(3).randbytes(3 << 20)
    changed = data[:2_000_000] + bytes([data[2_000_000] ^ 1]) + data[2_000_001:]
    text = "".join(f"option{number} = {number}\n" for number in range(200))
    program = files.compile_program("one", "-g0", "-Wl,--build-id=0x" + "11" * 20)
    contents = [
        (
            "ELF: build-id",
            "usr/bin/tool",
            program,
            files.compile_program("one", "-g0", "-Wl,--build-id=0x" + "22" * 20),
            "(22){20}",
        ),
        (
            "ELF: embedded path",
            "usr/bin/tool",
            program,
            files.compile_program("two", "-g0", "-Wl,--build-id=0x" + "11" * 20),
            "two/main.c",
        ),
        ("text", "etc/app.conf", text.encode(), text.replace("option77 = 77", "option77 = 78").encode(), r"\+\s*option77 = 78"),
        ("zip: time of a member", "lib/app.jar", _zip(1980), _zip(2026), "(?:20)?26-(?:01|Jan)-01"),
        ("ar without D", "lib/part.a", files.archive("rcD"), files.archive("rcU"), r"time|\b20\d\d\b"),
        (
            "gzip: time in the header",
            "share/page.gz",
            gzip.compress(b"page", mtime=0),
            gzip.compress(b"page", mtime=_LATE),
            "2026",
        ),
        ("Python bytecode: source time", "app/module.pyc", files.compile_python(10**9), files.compile_python(_LATE), "2026"),
        ("data: one byte", "srv/data", data, changed, "2,?000,?000|1e84[78]0"),
    ]
    pairs = []
    for name, path, before, after, what in contents:
        images = _make_image(), _make_image()
        for image, content in zip(images, (before, after), strict=True):
            image.layers[1].entries.append(Entry("/" + path, content=content, mode=0o755))
        pairs.append(Pair(name, *images, path, what))
    return pairs
