"""buildLayer, and the ways to get the functions for Nix, with the real Nix and its sandbox."""

from __future__ import annotations

import json
import os
import pathlib
import re
import shutil
import tarfile

import pytest
from store import Store

# The layer that BUILD.bazel builds by the rule `layer`.
LAYER = """functions.buildLayer {{
  contents = {{ "/app/server" = {server}; "/srv/files" = {files}; }};
  directories = [ "/var/lib/app" ];
  capabilities."/app/server" = "cap_net_bind_service,cap_bpf=ep";
  hardLinkDuplicates = true;
  modes."/srv/files/text" = "0644";
  mtime = "2026-01-31T12:00:00Z";
  owner = "1:2";
  owners."/var/lib/app" = "65532:65532";
  symlinks."/server" = "app/server";
  xattrs."/srv/files/text" = [ "user.origin=build" ];
  {more}
}}"""


@pytest.fixture(scope="module")
def store(tmp_path_factory) -> Store:
    made = Store(tmp_path_factory.mktemp("nix").resolve())
    shutil.copy(os.environ["SERVER"], made.directory / "server")
    # The directory is a link in the runfiles.
    shutil.copytree(os.path.realpath("tests/nix/files"), made.directory / "files", symlinks=True)
    return made


def _layer(store: Store, more: str = "") -> str:
    return LAYER.format(server=store.directory / "server", files=store.directory / "files", more=more)


def test_a_layer_has_the_bytes_of_the_bazel_rule(store):
    (layer,) = store.build(_layer(store))
    assert layer.name.endswith("-layer.tar.gz")
    assert layer.read_bytes() == pathlib.Path(os.environ["LAYER"]).read_bytes()


def test_the_metadata_describe_the_layer(store):
    (path,) = store.build(f"({_layer(store)}).metadata")
    metadata = json.loads(path.read_bytes())
    assert metadata["capabilities"] == {"/app/server": "cap_net_bind_service,cap_bpf=ep"}
    assert metadata["descriptor"]["size"] == os.path.getsize(os.environ["LAYER"])


def test_a_rebuild_gives_the_same_bytes(store):
    store.build(_layer(store))
    assert len(store.build(_layer(store), "--check")) == 1


@pytest.mark.parametrize("compression", ["none", "zstd"])
def test_the_name_tells_the_compression(store, compression):
    expression = f'functions.buildLayer {{ name = "tools"; compression = "{compression}"; compressionLevel = 0; }}'
    (layer,) = store.build(expression)
    assert layer.name.endswith("-tools.tar" + {"none": "", "zstd": ".zst"}[compression])


def test_contents_may_be_derivations_and_files_in_them(store):
    (store.directory / "tree").mkdir()
    shutil.copy(store.directory / "server", store.directory / "tree/server")
    (layer,) = store.build(
        f"""let package = functions.buildLayer {{ contents."/x" = {store.directory}/server; compression = "none"; }};
        in functions.buildLayer {{
          contents."/tar" = package;
          contents."/bin/server" = "${{{store.directory}/tree}}/server";
          capabilities."/bin/server" = [ "net_bind_service" "bpf" ];
        }}"""
    )
    with tarfile.open(layer) as archive:
        sizes = {entry.name: entry.size for entry in archive if entry.isfile()}
        assert archive.getmember("bin/server").pax_headers.keys() == {"SCHILY.xattr.security.capability"}
    assert sizes["bin/server"] == os.path.getsize(store.directory / "server") < sizes["tar"]


def test_links_out_of_a_directory_of_the_store_are_kept(store):
    links = store.directory / "links"
    links.mkdir()
    (links / "other").symlink_to(f"{store.directory}/store/other/bin/program")
    (links / "passwd").symlink_to("/etc/passwd")
    (layer,) = store.build(f'functions.buildLayer {{ contents."/opt" = {links}; }}')
    with tarfile.open(layer) as archive:
        assert archive.getmember("opt/other").linkname == f"{store.directory}/store/other/bin/program"
        assert archive.getmember("opt/passwd").linkname == "/etc/passwd"


def test_a_layer_depends_on_the_rooms_of_the_packer_alone(store):
    before = store.evaluate(f"({_layer(store)}).drvPath")
    changed = store.sources / "tools/rules_setcap/getcap/cli.py"
    text = changed.read_text()
    changed.write_text(text + "# Changed.\n")
    assert store.evaluate(f"({_layer(store)}).drvPath") == before
    changed.write_text(text)
    changed = store.sources / "tools/rules_setcap/packer/layer_writer.py"
    text = changed.read_text()
    changed.write_text(text + "# Changed.\n")
    assert store.evaluate(f"({_layer(store)}).drvPath") != before
    changed.write_text(text)


@pytest.mark.parametrize(
    ("attributes", "message"),
    [
        ('capabilites."/x" = "";', "called with unexpected argument 'capabilites'"),
        (
            'contents."/x" = "/etc/passwd";',
            'buildLayer: contents: "/x": "/etc/passwd": is not in the store; write a path without quotes, such as ./file',
        ),
        ("contents = [ ./x ];", "buildLayer: contents: a list: must be a set of files by path, such as"),
        ('capabilities = "/x";', 'buildLayer: capabilities: "/x": must be a set of capabilities by path, such as'),
        ('capabilities."/x" = 3;', 'buildLayer: capabilities: "/x": 3: must be the text of capabilities, such as'),
        ('capabilities."/x" = [ ];', 'buildLayer: capabilities: "/x": a list: must be the text of capabilities, such as'),
        ('name = "a b";', 'buildLayer: name: "a b": is not a valid name; write letters, digits'),
        ('compression = "bzip2";', 'buildLayer: compression: "bzip2": must be one of "gzip", "none", "zstd"'),
        ("compressionLevel = 13;", 'buildLayer: compressionLevel: 13: must be 0, the default, to 12 for "gzip"'),
        ('compressionLevel = "1";', 'buildLayer: compressionLevel: "1": must be a number'),
        ('parentDirectories = "missing";', 'buildLayer: parentDirectories: "missing": must be one of "all", "none"'),
        ('hardLinkDuplicates = "yes";', 'buildLayer: hardLinkDuplicates: "yes": must be true or false'),
        ('directories = "/x";', 'buildLayer: directories: "/x": must be a list of paths, such as'),
        ('symlinks."/x" = 1;', "buildLayer: symlinks: a set: must be a set of strings, such as"),
        ('modes = [ "/x" ];', "buildLayer: modes: a list: must be a set of strings, such as"),
        ('owners."/x" = 1;', "buildLayer: owners: a set: must be a set of strings, such as"),
        ('xattrs."/x" = "a=b";', "buildLayer: xattrs: a set: must be a set of lists of strings, such as"),
        ("owner = 0;", "buildLayer: owner: 0: must be a string that is not empty"),
        ("mode = 493;", "buildLayer: mode: 493: must be a string that is not empty"),
        ("mtime = true;", "buildLayer: mtime: true: must be a string that is not empty"),
    ],
)
def test_an_error_of_evaluation_names_the_attribute(store, attributes, message):
    assert message in store.evaluate(f"(functions.buildLayer {{ {attributes} }}).drvPath", status=1)


def test_gzip_needs_libdeflate(store):
    expression = f'((import {store.sources}/nix/functions.nix {{ python = "/p"; system = "s"; }}).buildLayer {{ }}).drvPath'
    message = 'buildLayer: compression: "gzip": needs libdeflate; pass gzipLibrary to nix/functions.nix'
    assert message in store.evaluate(expression, status=1)


def test_an_error_of_a_build_names_the_attributes_of_all_problems(store):
    output = store.fail_to_build(
        f"""functions.buildLayer {{
          name = "bad";
          contents."/x" = {store.directory}/files/text;
          contents."y" = {store.directory}/files/text;
          capabilities."/x" = "cap_net_bind_service=ep";
          capabilities."/z" = "cap_net_bind=ep";
          directories = [ "/a/../b" ];
          mode = "rwx";
          modes."/q" = "0755";
          mtime = "yesterday";
          owner = "root";
        }}"""
    )
    lines = [line for line in output.splitlines() if line.startswith("bad: ")]
    attributes = {line.split(":")[1].strip() for line in lines}
    assert attributes == {"capabilities", "contents", "directories", "mode", "modes", "mtime", "owner"}, output
    assert "Traceback" not in output


def test_nothing_is_built_while_nix_evaluates(store):
    store.evaluate(f"({_layer(store)}).drvPath", "--option", "allow-import-from-derivation", "false")


PACKAGES = """rec {{
  callPackage = function: arguments:
    let called = if builtins.isFunction function then function else import function;
    in called (builtins.intersectAttrs (builtins.functionArgs called) packages // arguments);
  buildPackages = {{ python3 = "{prefix}"; libdeflate = "/libdeflate"; }};
  stdenvNoCC.buildPlatform = {{ system = builtins.currentSystem; extensions.sharedLibrary = ".so"; }};
  packages = {{ inherit buildPackages callPackage stdenvNoCC; }};
}}"""


@pytest.mark.parametrize(
    "expression",
    [
        "(import {sources}/nix/overlay.nix packages {{ }}).imagecap",
        "packages.callPackage {sources}/nix {{ }}",
        '(builtins.getFlake "path:{sources}").lib.forPackages packages',
        '((builtins.getFlake "path:{sources}").overlays.default packages {{ }}).imagecap',
        '(builtins.getFlake "path:{sources}").lib.withInterpreter {{'
        ' python = packages.buildPackages.python3 + "/bin/python3"; system = packages.stdenvNoCC.buildPlatform.system; }}',
    ],
)
def test_the_functions_come_by_overlay_callpackage_and_flake(store, expression):
    """The packages are those of nixpkgs that the functions use, and no others."""
    packages = PACKAGES.format(prefix=store.python.parents[1])
    made = f"(let packages = {packages}; in {expression.format(sources=store.sources)})"
    names = json.loads(store.evaluate(f"builtins.attrNames {made}"))
    assert "buildLayer" in names
    layer = f'({made}.buildLayer {{ compression = "none"; contents."/x" = {store.directory}/server; }})'
    assert store.build(layer)


def test_the_flake_is_valid_and_has_no_inputs(store):
    flake = f"path:{store.sources}"
    store.run("nix", "flake", "check", "--offline", "--no-write-lock-file", flake)
    shown = json.loads(store.run("nix", "flake", "metadata", "--json", "--offline", "--no-write-lock-file", flake).stdout)
    assert shown["locks"]["nodes"] == {"root": {}}


def test_the_code_of_the_documentation_is_valid(store):
    blocks = re.findall(r"^```nix\n(.*?)^```$", pathlib.Path("docs/nix.md").read_text(), re.MULTILINE | re.DOTALL)
    assert len(blocks) > 4
    for number, block in enumerate(blocks):
        path = store.directory / f"block{number}.nix"
        path.write_text(block)
        store.run("nix-instantiate", "--parse", str(path))


def test_the_documentation_names_every_attribute(store):
    page = pathlib.Path("docs/nix.md").read_text()
    for function in ("buildLayer", "withCapabilities", "streamWithCapabilities"):
        for name in json.loads(store.evaluate(f"builtins.attrNames (builtins.functionArgs functions.{function})")):
            assert re.search(rf"`{name}`", page), f"{function}: {name}"
