from __future__ import annotations

import json
import pathlib

import pytest

from rules_setcap.diagnostics.errors import InputError
from rules_setcap.reproduce.build_events import read_targets


def _write(path: pathlib.Path, *events: object) -> str:
    path.write_text("".join(json.dumps(event) + "\n" for event in events))
    return str(path)


def _make_set(identifier: str, names: list[str], sets: list[str] | None = None) -> dict[str, object]:
    files = [{"name": name, "uri": f"file:///base/out/{name.replace(' ', '%20')}", "pathPrefix": ["out"]} for name in names]
    return {
        "id": {"namedSet": {"id": identifier}},
        "namedSetOfFiles": {"files": files, "fileSets": [{"id": each} for each in sets or []]},
    }


def _complete(label: str, sets: list[str], **more: object) -> dict[str, object]:
    groups = [{"name": "default", "fileSets": [{"id": each} for each in sets]}, {"name": "other", "fileSets": [{"id": "x"}]}]
    return {"id": {"targetCompleted": {"label": label, **more}}, "completed": {"success": True, "outputGroup": groups}}


def test_layouts_and_archives_are_images(tmp_path):
    path = _write(
        tmp_path / "events",
        _make_set("0", ["app/image/index.json", "app/image/oci-layout"]),
        _make_set("1", ["app/my image.tar"], ["0"]),
        _complete("//app:image", ["0"]),
        _complete("//app:archive", ["1"]),
        _complete("//app:program", []),
        _complete("//app:image", ["1"], aspect="a"),
    )
    archive, image, program = read_targets(path)
    # The layout within the files of the other target comes first.
    assert [each.path for each in archive.images] == ["/base/out/app/image"]
    assert [(each.execution_path, each.path) for each in image.images] == [("out/app/image", "/base/out/app/image")]
    assert image.images[0].find_execution_root() == "/base"
    assert (program.label, program.images, program.files) == ("//app:program", [], 0)


def test_the_layout_of_an_image_is_in_its_output_group(tmp_path):
    completed = _complete("//app:image", ["0"])
    completed["completed"]["outputGroup"].append({"name": "oci_layout", "fileSets": [{"id": "1"}]})  # type: ignore[index]
    path = _write(
        tmp_path / "events",
        _make_set("0", ["app/image.manifest.json"]),
        _make_set("1", ["app/image/index.json", "app/image/oci-layout"]),
        _make_set("x", ["app/other.tar"]),
        completed,
    )
    (image,) = read_targets(path)
    assert [each.execution_path for each in image.images] == ["out/app/image"]


def test_a_path_may_have_any_character(tmp_path):
    path = _write(tmp_path / "events", _make_set("1", ["app/my image.tar"]), _complete("//app:archive", ["1"]))
    assert read_targets(path)[0].images[0].path == "/base/out/app/my image.tar"


@pytest.mark.parametrize("text", ["{", "[]", '{"id": 1}', '{"id": {"namedSet": 1}, "namedSetOfFiles": {}}', "\x00"])
def test_what_bazel_does_not_write_is_an_error(text, tmp_path):
    (tmp_path / "events").write_text(text + "\n")
    with pytest.raises(InputError, match="are not those of a build"):
        read_targets(str(tmp_path / "events"))
