"""The config and the manifest of an image come from its attributes and its base, and an invalid base is refused."""

from __future__ import annotations

import hashlib
import json
import pathlib

import pytest
from image_assembly import (  # noqa: F401 (assemble_image is a fixture)
    BASE_CONFIG,
    BASE_LAYER,
    LAYER,
    assemble_image,
    put_blob,
    put_manifest,
    read_json,
    read_problems,
    write_index,
)

from support import packer


def _write_layout(tmp_path: pathlib.Path, blob: bytes, size: int) -> packer.Done:
    """Runs the command that writes the layout of an image with one layer.

    Args:
      tmp_path: the directory of inputs and outputs.
      blob: the layer.
      size: the size of the layer in its descriptor.
    """
    digest = "sha256:" + hashlib.sha256(blob).hexdigest()
    layer = {**LAYER, "descriptor": {**LAYER["descriptor"], "digest": digest, "size": size}}
    config = {"mediaType": "c", "digest": "sha256:" + hashlib.sha256(b"{}").hexdigest(), "size": 2}
    manifest = json.dumps({"schemaVersion": 2, "config": config, "layers": [layer["descriptor"]]}).encode()
    own = {"mediaType": "m", "digest": "sha256:" + hashlib.sha256(manifest).hexdigest(), "size": len(manifest)}
    files = {
        "manifest": manifest,
        "config": b"{}",
        "descriptor": json.dumps(own).encode(),
        "layer": json.dumps(layer).encode(),
        "blob": blob,
    }
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
    flags = [f"--{name}={name}" for name in ("manifest", "config", "descriptor")]
    return packer.run("layout", *flags, "--layer-metadata=layer", "--layer-blob=blob", "--output=layout", cwd=tmp_path)


@pytest.mark.parametrize("size", [99, 100, 101])
def test_a_layout_has_layers_of_the_size_in_their_descriptors(tmp_path, size):
    done = _write_layout(tmp_path, b"x" * 100, size)
    if size == 100:
        assert done == (0, "")
        assert len(list((tmp_path / "layout/blobs/sha256").iterdir())) == 3
    else:
        digest = "sha256:" + hashlib.sha256(b"x" * 100).hexdigest()
        assert done == (1, f'//app:image: base: "{digest}": has 100 bytes, and the manifest says {size}\n')
        assert not (tmp_path / "layout").exists()


def test_a_layer_is_linked_from_the_base_layout_that_has_it(tmp_path):
    for name in ("one", "two"):
        (tmp_path / name / "blobs/sha256").mkdir(parents=True)
    digest = hashlib.sha256(b"below").hexdigest()
    layer = {"mediaType": "l", "digest": f"sha256:{digest}", "size": 5}
    config = {"mediaType": "c", "digest": "sha256:" + hashlib.sha256(b"{}").hexdigest(), "size": 2}
    (tmp_path / "manifest").write_text(json.dumps({"schemaVersion": 2, "config": config, "layers": [layer]}))
    (tmp_path / "config").write_text("{}")
    (tmp_path / "descriptor").write_text(json.dumps({"mediaType": "m", "digest": "sha256:" + "1" * 64, "size": 1}))
    flags = ["--output=layout", *(f"--{name}={name}" for name in ("manifest", "config", "descriptor"))]
    flags += [f"--base-layout={name}" for name in ("one", "two")]
    assert packer.run("layout", *flags, cwd=tmp_path) == (
        1,
        f'//app:image: base: "sha256:{digest}": no layout of the base has this layer\n',
    )
    (tmp_path / "two/blobs/sha256" / digest).write_bytes(b"below")
    assert packer.run("layout", *flags, cwd=tmp_path) == (0, "")
    assert (tmp_path / "layout/blobs/sha256" / digest).read_bytes() == b"below"


def test_each_attribute_is_in_the_config_or_the_manifest(assemble_image, tmp_path):
    assert assemble_image(
        entrypoint=["/app/server"],
        cmd=["--port=80"],
        env={"A": "1", "B": "$$x"},
        user="65532:65532",
        working_dir="/app",
        exposed_ports=["80", "53/udp"],
        volumes=["/data"],
        labels={"l": "v"},
        annotations={"org.opencontainers.image.source": "here"},
        stop_signal="SIGTERM",
        created="2026-01-02T03:04:05Z",
        architecture="arm64",
        variant="v8",
    ) == (0, "")
    assert (tmp_path / "config").read_text() == (
        '{"created":"2026-01-02T03:04:05Z","architecture":"arm64","os":"linux","variant":"v8",'
        '"config":{"User":"65532:65532","ExposedPorts":{"53/udp":{},"80/tcp":{}},"Env":["A=1","B=$x"],'
        '"Entrypoint":["/app/server"],"Cmd":["--port=80"],"Volumes":{"/data":{}},"WorkingDir":"/app",'
        '"Labels":{"l":"v"},"StopSignal":"SIGTERM"},'
        f'"rootfs":{{"type":"layers","diff_ids":["{LAYER["diff_id"]}"]}},'
        '"history":[{"created":"2026-01-02T03:04:05Z","created_by":"rules_setcap"}]}'
    )
    manifest = (tmp_path / "manifest").read_bytes()
    assert json.loads(manifest) == {
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": {
            "mediaType": "application/vnd.oci.image.config.v1+json",
            "digest": "sha256:" + hashlib.sha256((tmp_path / "config").read_bytes()).hexdigest(),
            "size": (tmp_path / "config").stat().st_size,
        },
        "layers": [LAYER["descriptor"]],
        "annotations": {"org.opencontainers.image.source": "here"},
    }
    assert read_json(tmp_path, "descriptor") == {
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "digest": "sha256:" + hashlib.sha256(manifest).hexdigest(),
        "size": len(manifest),
        "platform": {"architecture": "arm64", "os": "linux", "variant": "v8"},
    }


def test_an_image_inherits_from_its_base(assemble_image, tmp_path):
    write_index(tmp_path / "base", put_manifest(tmp_path / "base"))
    assert assemble_image("--base-layout=base") == (0, "")
    config = read_json(tmp_path, "config")
    assert config["config"] == BASE_CONFIG["config"]
    assert config["author"] == "somebody"
    assert config["rootfs"]["diff_ids"] == ["sha256:" + "c" * 64, LAYER["diff_id"]]
    assert [entry["created_by"] for entry in config["history"]] == ["base", "rules_setcap"]
    layers = read_json(tmp_path, "manifest")["layers"]
    assert layers == [{**BASE_LAYER, "mediaType": "application/vnd.oci.image.layer.v1.tar+gzip"}, LAYER["descriptor"]]


def test_attributes_change_the_config_of_the_base(assemble_image, tmp_path):
    write_index(tmp_path / "base", put_manifest(tmp_path / "base"))
    done = assemble_image(
        "--base-layout=base",
        entrypoint=["/app"],
        env={"PATH": "/app:${PATH}", "NEW": "$LANG"},
        exposed_ports=["443"],
        labels={"b": "3", "c": "4"},
        user="0",
    )
    assert done == (0, "")
    config = read_json(tmp_path, "config")["config"]
    assert config["Entrypoint"] == ["/app"]
    assert "Cmd" not in config  # The cmd of the base belongs to the entrypoint of the base.
    assert config["Env"] == ["PATH=/app:/bin", "LANG=C", "NEW=C"]
    assert config["ExposedPorts"] == {"443/tcp": {}, "80/tcp": {}}
    assert config["Labels"] == {"a": "1", "b": "3", "c": "4"}
    assert (config["User"], config["WorkingDir"], config["StopSignal"]) == ("0", "/srv", "SIGQUIT")
    assert config["Healthcheck"] == {"Test": ["NONE"]}


def test_cmd_keeps_the_entrypoint_of_the_base(assemble_image, tmp_path):
    write_index(tmp_path / "base", put_manifest(tmp_path / "base"))
    assert assemble_image("--base-layout=base", cmd=["--help"]) == (0, "")
    config = read_json(tmp_path, "config")["config"]
    assert (config["Entrypoint"], config["Cmd"]) == (["/entry"], ["--help"])


def test_the_platform_selects_an_image_from_an_index(assemble_image, tmp_path):
    base = tmp_path / "base"
    arm = put_manifest(base, {**BASE_CONFIG, "architecture": "arm64"})
    nested = put_blob(
        base,
        "application/vnd.oci.image.index.v1+json",
        {"manifests": [{**arm, "platform": {"os": "linux", "architecture": "arm64"}}, put_manifest(base)]},
    )
    write_index(base, nested)
    for architecture in ("arm64", "amd64"):
        assert assemble_image("--base-layout=base", architecture=architecture) == (0, "")
        assert read_json(tmp_path, "config")["architecture"] == architecture
    assert assemble_image("--base-layout=base", architecture="s390x") == (
        1,
        '//app:image: base: "//:base": has no image for linux/s390x; it has linux/amd64, linux/arm64\n',
    )


def test_the_variant_selects_an_image_from_an_index(assemble_image, tmp_path):
    base = tmp_path / "base"
    arm = [{**BASE_CONFIG, "architecture": "arm", "variant": variant, "author": variant} for variant in ("v6", "v7")]
    platforms = [{"os": "linux", "architecture": "arm", "variant": config["variant"]} for config in arm]
    write_index(
        base, *({**put_manifest(base, config), "platform": platform} for config, platform in zip(arm, platforms, strict=True))
    )
    for variant in ("v6", "v7"):
        assert assemble_image("--base-layout=base", architecture="arm", variant=variant) == (0, "")
        assert read_json(tmp_path, "config")["author"] == read_json(tmp_path, "config")["variant"] == variant
    assert read_problems(assemble_image("--base-layout=base", architecture="arm", variant="v8")) == [
        'base: "//:base": has no image for linux/arm/v8; it has linux/arm/v6, linux/arm/v7'
    ]
    assert read_problems(assemble_image("--base-layout=base", architecture="arm")) == [
        'base: "//:base": has 2 images for linux/arm; set platform to one of linux/arm/v6, linux/arm/v7'
    ]


def test_two_images_for_one_platform_are_reported(assemble_image, tmp_path):
    base = tmp_path / "base"
    configs = [{**BASE_CONFIG, "architecture": "arm", "author": author} for author in ("a", "b")]
    platform = {"os": "linux", "architecture": "arm"}
    write_index(base, *({**put_manifest(base, config), "platform": platform} for config in configs))
    assert read_problems(assemble_image("--base-layout=base", architecture="arm")) == [
        'base: "//:base": has 2 images for linux/arm; it must have one'
    ]


def test_an_image_inherits_the_variant_of_its_base(assemble_image, tmp_path):
    write_index(tmp_path / "base", put_manifest(tmp_path / "base", {**BASE_CONFIG, "architecture": "arm64", "variant": "v8"}))
    assert assemble_image("--base-layout=base", architecture="arm64") == (0, "")
    assert read_json(tmp_path, "config")["variant"] == "v8"


def test_fields_have_the_order_of_the_specification(assemble_image, tmp_path):
    """The base has them in another order."""
    write_index(tmp_path / "base", put_manifest(tmp_path / "base"))
    assert assemble_image("--base-layout=base", volumes=["/v"]) == (0, "")
    assert list(read_json(tmp_path, "config")["config"]) == [
        *("User", "ExposedPorts", "Env", "Entrypoint", "Cmd", "Volumes", "WorkingDir", "Labels", "StopSignal", "Healthcheck")
    ]


def test_dollar_names_are_variables_of_the_base(assemble_image, tmp_path):
    """As in one ENV instruction of a Dockerfile, $NAME is not the value that another pair of the attribute sets."""
    write_index(tmp_path / "base", put_manifest(tmp_path / "base"))
    assert assemble_image(
        "--base-layout=base", env={"LANG": "de", "OLD": "$LANG", "PATH": "/app:$PATH", "BOTH": "${PATH}:$LANG"}
    ) == (
        0,
        "",
    )
    assert read_json(tmp_path, "config")["config"]["Env"] == ["PATH=/app:/bin", "LANG=de", "OLD=C", "BOTH=/bin:C"]


def test_the_platform_of_a_base_is_checked_before_the_base_is_built(assemble_image):
    (line,) = read_problems(
        assemble_image("--base-platform=linux/arm64/v8", labels={"": "x"}, architecture="arm64", variant="v8")
    )
    assert line.startswith("labels: ")
    assert read_problems(assemble_image("--base-platform=linux/arm64/v8", labels={"": "x"})) == [
        'labels: "": the name must not be empty',
        'base: "//:base": is for linux/arm64/v8, and the image for linux/amd64; build for the base\'s platform, or choose another base',
    ]


def _make_empty_directory(base: pathlib.Path) -> None:
    base.mkdir()


def _make_invalid_index(base: pathlib.Path) -> None:
    base.mkdir()
    (base / "index.json").write_text("{")


def _make_damaged_manifest(base: pathlib.Path) -> None:
    descriptor = put_manifest(base)
    write_index(base, descriptor)
    path = base / "blobs" / "sha256" / descriptor["digest"].removeprefix("sha256:")
    data = bytearray(path.read_bytes())
    data[20] ^= 1
    path.write_bytes(data)


def _make_path_as_digest(base: pathlib.Path) -> None:
    write_index(base, {**put_manifest(base), "digest": "sha256:../../../../etc/passwd"})


def _make_wrong_size(base: pathlib.Path) -> None:
    descriptor = put_manifest(base)
    write_index(base, {**descriptor, "size": descriptor["size"] + 1})


def _make_huge_size(base: pathlib.Path) -> None:
    write_index(base, {**put_manifest(base), "size": 1 << 50})


def _make_missing_manifest(base: pathlib.Path) -> None:
    write_index(base, {"mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": "sha256:" + "e" * 64, "size": 5})


def _make_deep_indexes(base: pathlib.Path) -> None:
    descriptor = put_manifest(base)
    for _ in range(9):
        descriptor = put_blob(base, "application/vnd.oci.image.index.v1+json", {"manifests": [descriptor]})
    write_index(base, descriptor)


def _make_wrong_manifest_types(base: pathlib.Path) -> None:
    write_index(base, put_blob(base, "application/vnd.oci.image.manifest.v1+json", {"config": [], "layers": {}}))


def _make_missing_diff_id(base: pathlib.Path) -> None:
    write_index(base, put_manifest(base, layers=[BASE_LAYER, BASE_LAYER]))


def _make_unknown_layer_type(base: pathlib.Path) -> None:
    config = {**BASE_CONFIG, "rootfs": {"type": "layers", "diff_ids": ["sha256:" + "c" * 64] * 2}}
    write_index(base, put_manifest(base, config, [BASE_LAYER, {**BASE_LAYER, "mediaType": "text/plain"}]))


def _make_wrong_config_types(base: pathlib.Path) -> None:
    write_index(base, put_manifest(base, {**BASE_CONFIG, "config": {"Env": {"A": "1"}, "Labels": ["x"]}, "history": "none"}))


def _make_deep_json(base: pathlib.Path) -> None:
    base.mkdir()
    (base / "index.json").write_text("[" * 3_000_000)


def _make_half_surrogate_pair(base: pathlib.Path) -> None:
    write_index(base, put_manifest(base, {**BASE_CONFIG, "author": "\ud800"}))


INVALID_BASES = [
    (_make_empty_directory, "index.json cannot be read: No such file or directory; give an OCI layout directory"),
    (_make_invalid_index, "index.json is not JSON"),
    (_make_deep_json, "index.json has more than 200000 values (limit JSON_VALUES)"),
    (_make_damaged_manifest, "and should have sha256:"),
    (_make_path_as_digest, "is not a valid descriptor (mediaType, digest by sha256, size)"),
    (_make_wrong_size, "and should have sha256:"),
    (_make_huge_size, "has 1125899906842624 bytes; more than 4194304 are not read"),
    (_make_missing_manifest, "cannot be read: No such file or directory"),
    (_make_deep_indexes, "indexes within indexes, more than 4 deep"),
    (_make_wrong_manifest_types, "its manifest has no list of layers"),
    (_make_missing_diff_id, "its manifest has 2 layers, its config 1 diff_ids"),
    (_make_unknown_layer_type, 'layer of unknown media type "text/plain"'),
    (_make_wrong_config_types, "its config has an invalid Labels"),
    (_make_half_surrogate_pair, "has half of a surrogate pair, which is not Unicode"),
]


@pytest.mark.parametrize("make, expected", INVALID_BASES, ids=lambda value: getattr(value, "__name__", ""))
def test_an_invalid_base_is_refused(assemble_image, tmp_path, make, expected):
    make(tmp_path / "base")
    done = assemble_image("--base-layout=base")
    assert done.status == 1
    assert all(line.startswith("//app:image: base: ") for line in done.stderr.splitlines()), done.stderr
    assert expected in done.stderr
    assert not (tmp_path / "config").exists()


def test_a_base_for_another_platform_is_refused(assemble_image, tmp_path):
    (tmp_path / "base-manifest").write_text(json.dumps({"layers": []}))
    (tmp_path / "base-config").write_text(json.dumps({**BASE_CONFIG, "rootfs": {"diff_ids": []}}))
    assert assemble_image("--base-manifest=base-manifest", "--base-config=base-config", architecture="arm64") == (
        1,
        '//app:image: base: "//:base": is for linux/amd64, and the image for linux/arm64; '
        "build for the base's platform, or choose another base\n",
    )


def test_an_image_with_two_names_is_one_image(assemble_image, tmp_path):
    descriptor = put_manifest(tmp_path / "base")
    write_index(tmp_path / "base", *({**descriptor, "annotations": {"org.opencontainers.image.ref.name": name}} for name in "ab"))
    assert assemble_image("--base-layout=base") == (0, "")


def test_a_layout_may_lack_images_for_other_platforms(assemble_image, tmp_path):
    absent = {"mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": "sha256:" + "e" * 64, "size": 5}
    absent["platform"] = {"os": "linux", "architecture": "s390x"}
    write_index(tmp_path / "base", absent, put_manifest(tmp_path / "base"))
    assert assemble_image("--base-layout=base") == (0, "")


def test_an_index_that_is_repeated_is_read_once(assemble_image, tmp_path):
    base = tmp_path / "base"
    entries = [put_manifest(base)]
    for _ in range(4):
        entries = [put_blob(base, "application/vnd.oci.image.index.v1+json", {"manifests": entries})] * 1000
    write_index(base, *entries)
    assert assemble_image("--base-layout=base") == (0, "")
