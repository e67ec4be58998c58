"""In a user's workspace, getcap and the tests read images, also those of other tools and rulesets."""

from __future__ import annotations

import json
import os
import pathlib
import re
import shutil
import subprocess
import tarfile
from collections.abc import Iterator

import pytest

from support import registry as registries
from support import require
from support.bazel import LAYOUTS, Workspace

CONSUMER = pathlib.Path("tests/integration/consumer")
FOREIGN = ["crane_files", "oci_archive", "output_group", "skopeo_directory", "tree"]
POD = """\
apiVersion: v1
kind: Pod
metadata: {name: program}
spec:
  containers:
    - name: program
      image: registry.example/program:1
"""

ROLLOUT = """\
apiVersion: argoproj.io/v1alpha1
kind: Rollout
metadata: {name: program}
spec:
  strategy: {canary: {}}
  template:
    metadata: {labels: {app: program}}
    spec:
      containers:
        - name: program
          image: registry.example/hello:1
          securityContext: {capabilities: {drop: [ALL]}}
"""
_TWO = "has 2 files, and none is the index.json of an OCI layout; give one OCI layout directory, all files of one, or an archive"
_DOCUMENTS = (
    'has the documents of an image without its layers; give the image itself, or a filegroup with output_group = "oci_layout"'
)


def _make_workspace(directory: pathlib.Path, *, module: bool = True) -> Workspace:
    made = Workspace(directory, module=module)
    made.write("BUILD.bazel", (CONSUMER / "BUILD.images").read_text())
    made.write("foreign.bzl", (CONSUMER / "foreign.bzl").read_text())
    made.write("pod.yaml", POD)
    return made


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workspace]:
    made = _make_workspace(tmp_path_factory.mktemp("images"))
    yield made
    made.stop()


def _list_repositories(workspace: Workspace) -> set[str]:
    """Returns the repositories that Bazel has fetched, without the names of their extensions."""
    base = pathlib.Path(workspace.run("info", "output_base").stdout.strip())
    return {path.name.replace("+", "~").rpartition("~")[2] for path in (base / "external").iterdir() if path.is_dir()}


_ZLIB = "--@rules_setcap//rules:gzip_library=@rules_setcap//rules:zlib"


def test_builds_fetch_packages_that_they_need(workspace):
    """With zlib, Bazel does not even fetch the repository that lists the packages of PyPI."""

    def list_fetched():
        return {name for name in _list_repositories(workspace) if "_pip" in name}

    workspace.run("test", _ZLIB, "//:capabilities_test")
    workspace.run("build", _ZLIB, "//:digest_test", "//:index")
    assert list_fetched() == set()
    workspace.run("test", "//:capabilities_test")
    workspace.run("build", "//:digest_test", "//:index")
    assert list_fetched() == {"rules_setcap_tools_pip"}  # It has the library that compresses layers.
    workspace.run("build", "//:its_manifest's")
    assert list_fetched() == {"rules_setcap_tools_pip", "rules_setcap_tools_pip_site"}


def test_the_library_that_compresses_can_be_chosen(workspace):
    """libdeflate in a file of the workspace gives the same bytes. zlib gives others for the same tar."""

    def build(library=None):
        flags = [f"--@rules_setcap//rules:gzip_library={library}"] if library else []
        workspace.run("build", *flags, "//:image")
        return json.loads(workspace.output("image_binary.layer.json").read_bytes())

    (library,) = pathlib.Path("/usr/lib").glob("*/libdeflate.so.0")
    directory = workspace.directory / "third_party"
    directory.mkdir()
    shutil.copyfile(library, directory / "libdeflate.so")
    (directory / "BUILD.bazel").write_text('exports_files(["libdeflate.so"])\n')
    default, own, zlib = build(), build("//third_party:libdeflate.so"), build("@rules_setcap//rules:zlib")
    assert own == default
    assert zlib["diff_id"] == default["diff_id"] and zlib["descriptor"] != default["descriptor"]
    (directory / "BUILD.bazel").write_text(
        'exports_files(["libdeflate.so"])\n'
        'filegroup(name = "none")\n'
        'filegroup(name = "two", srcs = ["libdeflate.so", "libdeflate.so.0"])\n'
    )
    for target, problem in [
        ("//:hello.c", "has no shared library with a name of libdeflate, only hello.c; give a target"),
        ("//third_party:none", "has no file; give a target"),
        ("//third_party:two", "has 2 shared libraries of libdeflate: libdeflate.so, libdeflate.so.0; give a target"),
    ]:
        done = workspace.run("build", f"--@rules_setcap//rules:gzip_library={target}", "//:image", check=False)
        assert f'--@rules_setcap//rules:gzip_library: "{target}": {problem}' in done.stderr, done.stderr


def test_getcap_reads_images_in_bazel_bin(workspace):
    """Its Python is not the default of the root module, and bazel-bin must stay the same directory."""
    workspace.run("build", LAYOUTS, "//:image")
    before = os.readlink(workspace.directory / "bazel-bin")
    done = workspace.run("run", "@rules_setcap//tools/getcap", "--", "bazel-bin/image")
    assert done.stdout == "/app/hello cap_net_bind_service=p\n"
    done = workspace.run(
        *("run", "@rules_setcap//tools/getcap", "--", "explain", "bazel-bin/image", "--kubernetes", "pod.yaml"), check=False
    )
    assert "/app/hello: runs with cap_net_bind_service permitted" in done.stdout, done.stderr
    assert os.readlink(workspace.directory / "bazel-bin") == before


@pytest.fixture(scope="module")
def digest(workspace: Workspace, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Pushes the index, pulls it into the workspace by other tools, and returns its digest."""
    with registries.serve(tmp_path_factory.mktemp("registry")) as registry:
        where = f"{registry.host}/program"
        found = workspace.run("run", "//:push", "--", "--repository", where, "--tag", "1").stdout.split()[0].partition("@")[2]
        environment = {**os.environ, "HOME": str(tmp_path_factory.mktemp("home"))}
        skopeo = ["skopeo", "copy", "--quiet", "--src-tls-verify=false", f"docker://{where}:1"]
        for command in (
            ["crane", "pull", "--format=oci", f"{where}:1", "crane"],
            [*skopeo, "--all", "oci:skopeo:1"],
            [*skopeo, "--all", "oci-archive:oci.tar:1"],
            [*skopeo, "docker-archive:docker.tar:program:1"],
        ):
            program = require.tool(command[0])
            subprocess.run([program, *command[1:]], check=True, cwd=workspace.directory, env=environment)
    text = (workspace.directory / "BUILD.bazel").read_text()
    workspace.write("BUILD.bazel", text.replace('"DIGEST"', f'"{found}"'))
    return found


def test_images_of_other_rulesets_are_tested(workspace, digest):
    kinds = ("capability_test", "digest_test", "kubernetes_test", "image_test")
    workspace.run("test", "//:docker_archive_capability_test", *(f"//:{name}_{kind}" for name in FOREIGN for kind in kinds))


def test_images_of_other_rulesets_are_pushed_and_loaded(workspace, digest, tmp_path):
    with registries.serve(tmp_path) as registry:
        for name in FOREIGN:
            done = workspace.run("run", f"//:{name}_push", "--", "--repository", f"{registry.host}/{name}")
            assert done.stdout == f"{registry.host}/{name}@{digest}\n"
        workspace.run("run", "//:docker_archive_push", "--", "--repository", f"{registry.host}/docker", "--tag", "1")
        assert registry.tags("docker") == ["1"]
    workspace.run("build", *(f"//:{name}_archive" for name in FOREIGN))
    archives = {workspace.output(f"{name}_load.tar").read_bytes() for name in FOREIGN}
    assert len(archives) == 1


def test_an_index_as_base_has_the_files_that_its_layout_links_to(workspace):
    workspace.run("build", LAYOUTS, "//:above_index")
    done = workspace.run("run", "@rules_setcap//tools/getcap", "--", "bazel-bin/above_index")
    assert done.stdout == "/app/program.elf cap_net_raw=p\n"
    for mnemonic in ("SetcapCopy", "SetcapLayout"):
        query = f"inputs('.*portable_binary.tar.gz', mnemonic('{mnemonic}', //:above_index))"
        assert f"Mnemonic: {mnemonic}" in workspace.run("aquery", query).stdout


def test_digest_test_needs_no_blob(workspace):
    done = workspace.run("aquery", "--output=jsonproto", "mnemonic('SetcapImageTest', //:digest_test)")
    graph = json.loads(done.stdout)
    fragments = {each["id"]: each for each in graph["pathFragments"]}

    def path(number: int) -> str:
        fragment = fragments[number]
        above = fragment.get("parentId")
        return (path(above) + "/" if above else "") + fragment["label"]

    names = {path(each["pathFragmentId"]).rpartition("/bin/")[2] for each in graph["artifacts"]}
    own = {name for name in names if name.startswith("image")}
    assert own == {"image.config.json", "image.descriptor.json", "image.manifest.json"}


@pytest.mark.parametrize("name", ["it's", "50%&$b(c)"])
def test_names_with_characters_of_the_shell_work(workspace, name):
    workspace.run("test", f"//:{name}")


def test_labels_with_any_character_work(workspace, tmp_path):
    package = "a=b/%s,$(c)'/@+"
    workspace.write(f"{package}/BUILD.bazel", (CONSUMER / "BUILD.names").read_text())
    workspace.run("build", LAYOUTS, f"//{package}:all", f"//{package}:pushes", f"//{package}:archives")
    for name in ("=", "a'b\"c"):
        layout = workspace.output(f"{package}/{name}.index")
        done = workspace.run("run", "@rules_setcap//tools/getcap", "--", str(layout))
        assert done.stdout == f"/app/hello cap_net_bind_service=p\n/opt/{name} cap_bpf=p\n"


def test_findings_fail_the_test_and_not_the_build(workspace):
    names = ["digest_test", "its_digest's", "its_manifest's"]
    workspace.run("build", LAYOUTS, "//:image", *(f"//:{name}" for name in names))
    done = workspace.run("test", "--test_output=errors", "--keep_going", *(f"//:{name}" for name in names), check=False)
    assert done.returncode == 3  # Only tests have failed.
    output = done.stdout + done.stderr
    assert (
        '//:its_manifest\'s: image_name: "registry.example/hello": no container of the manifests runs it; they run "registry'
        in output
    )
    # The label is quoted for the shell.
    digest = json.loads((workspace.output("image") / "index.json").read_bytes())["manifests"][0]["digest"]
    assert f"""  buildozer 'set digest "{digest}"' //:digest_test\n""" in output
    assert f"""  buildozer 'set digest "{digest}"' '//:its_digest'\\''s'\n""" in output


MISTAKES = {
    "base_directory": ['base: "//bad:empty": a directory without index.json; give an OCI layout directory'],
    "base_index_alone": [
        'base: "//bad:index_alone": the index.json of an OCI layout without its blobs; give all files of the layout'
    ],
    "base_layer": ['base: "//bad:layer": is a layer, not an image; give the image that has it'],
    "base_tar": [
        "ends without an end-of-archive marker: a part is missing; give an OCI layout directory, an OCI archive, or an archive"
    ],
    "base_documents": [f'base: "//bad:documents": {_DOCUMENTS}'],
    "base_documents_of_index": [f'base: "//bad:documents_of_index": {_DOCUMENTS}'],
    "base_two": [f'base: "//bad:two_files": {_TWO}'],
    "capabilities_of_documents": [f'image: "//bad:documents": {_DOCUMENTS}'],
    "capabilities_of_two": [f'image: "//bad:two_files": {_TWO}'],
    "digest_by_name": [
        'digest: "latest": not a valid digest; write sha256: and 64 hexadecimal digits (with 64 zeros, the test prints the digest)'
    ],
    "digest_of_layer": ['image: "//bad:layer": is a layer, not an image; give the image that has it'],
    "expected_nonsense": [
        'expected: "relative": must be absolute; write "/relative"',
        'expected: "cap_chwon": unknown capability; did you mean "cap_chown"?',
    ],
    "image_as_layer": ['layers: "//:image": is an image, not a layer; use it as base'],
    "index_of_others": [
        'images: "//bad:tree": is not an image of these rules; for one of another ruleset, '
        'write image(name = ..., base = "//bad:tree") and give that',
        'images: "//:index": is an index, not an image; give its images',
    ],
    "kubernetes_nonsense": [
        'image_name: "Registry/App": invalid image name; write it as registry.example/path:tag, in lower case',
        'runtime: "dockr": unknown runtime; did you mean "docker"?',
    ],
    "load_of_layer": ['image: "//bad:layer": is a layer, not an image; give the image that has it'],
    "push_of_two": [f'image: "//bad:two_files": {_TWO}'],
    "setcap_of_directory": ['tar: "//bad:layout": is a directory, not a tar'],
    "setcap_of_image": [
        'tar: "//:image": is an image, not a tar; to assign capabilities to files of an image, '
        'write image(name = ..., base = "//:image", file_capabilities = {...})'
    ],
    "setcap_of_tree": ['tar: "//bad:tree": is a directory, not a tar; to assign capabilities to files of an image, write image('],
    "setcap_of_two": ['tar: "//bad:two_files": has 2 files; give a target that has only the tar'],
    "tar_as_layer": [
        'layers: "//bad:one.tar": is not a layer; write setcap(name = ..., tar = "//bad:one.tar") for a tar, '
        "or layer(name = ..., srcs = ...) for files, and give that"
    ],
}

FINDINGS = {
    "broken_manifest": "bad/broken.yaml:2: invalid YAML: ",
    "damaged.tar_capabilities": 'image: "bad/damaged.tar": "/blobs/sha256/',
    "damaged_capabilities": 'image: "bad/damaged": layer sha256:',
    "digest_of_several": 'image: "bad/several": its index.json names 2 images; give a layout of one image, or of one image index',
    "rollout": 'bad/rollout.yaml:10: spec.template.spec.containers[0]: "/app/hello" runs without cap_net_bind_service: ',
}


@pytest.fixture(scope="module")
def bad(workspace: Workspace) -> Workspace:
    """Returns the workspace with a package of mistakes, and of images and manifests that tests find faults in."""
    workspace.write("bad/BUILD.bazel", (CONSUMER / "BUILD.images_bad").read_text())
    workspace.run("build", LAYOUTS, "//:index")
    directory = workspace.directory / "bad"
    for name in ("layout", "damaged", "several"):
        shutil.copytree(workspace.output("index"), directory / name)
    for path in [directory, *directory.rglob("*")]:
        path.chmod(0o755)
    for blob in (directory / "damaged/blobs/sha256").iterdir():
        if blob.read_bytes().startswith(b"\x1f\x8b"):
            blob.write_bytes(blob.read_bytes()[:-8] + bytes(8))
    with tarfile.open(directory / "damaged.tar", "w") as archive:
        archive.add(directory / "damaged", "")
    index = json.loads((directory / "several/index.json").read_bytes())
    (own,) = index["manifests"]
    images = json.loads((directory / "several/blobs/sha256" / own["digest"].removeprefix("sha256:")).read_bytes())["manifests"]
    workspace.write("bad/several/index.json", json.dumps({**index, "manifests": images}))
    workspace.write("bad/empty/file", "")
    workspace.write("bad/broken.yaml", "kind: [\n")
    workspace.write("bad/rollout.yaml", ROLLOUT)
    return workspace


def test_a_mistake_is_a_build_error(bad):
    done = bad.run("build", "--keep_going", *(f"//bad:{name}" for name in MISTAKES), check=False)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr and "packer: " not in done.stderr
    for name, messages in MISTAKES.items():
        # For a base, the label is that of the base, which is read once for all images on top of it.
        target = "[a-z_]+" if name.startswith("base_") else name
        for message in messages:
            assert re.search(f"^//bad:{target}: .*{re.escape(message)}", done.stderr, re.MULTILINE), (message, done.stderr)


def test_findings_about_images_and_manifests_are_in_the_report(bad):
    targets = [f"//bad:{name}" for name in FINDINGS]
    bad.run("build", *targets)
    done = bad.run("test", "--test_output=errors", "--keep_going", *targets, check=False)
    assert done.returncode == 3
    for name, message in FINDINGS.items():
        assert f"//bad:{name}: {message}" in done.stdout + done.stderr


def test_a_layout_of_several_images_is_an_error(bad):
    done = bad.run("run", "//bad:push_several", check=False)
    assert done.returncode == 1
    message = '//bad:push_several: image: "//bad:several": its index.json names 2 images; give a layout of one image, or of one image index\n'
    assert done.stderr.endswith(message)


def test_a_workspace_file_without_pypi_works(tmp_path):
    """The WORKSPACE file declares no packages of PyPI."""
    workspace = _make_workspace(tmp_path, module=False)
    text = (workspace.directory / "WORKSPACE.bazel").read_text()
    workspace.write("WORKSPACE.bazel", text.partition('load("@rules_python//python:pip.bzl"')[0])
    try:
        workspace.run("test", _ZLIB, "//:capabilities_test")
        workspace.run("build", _ZLIB, "//:digest_test")
        assert not [name for name in _list_repositories(workspace) if "pip" in name]
    finally:
        workspace.stop()
