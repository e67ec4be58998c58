"""The kernel of gVisor (runsc) treats file capabilities as docs/capabilities.md says."""

from __future__ import annotations

import itertools
import json
import pathlib
import subprocess

import pytest
import samples

from rules_setcap.capabilities import from_text
from rules_setcap.capabilities.names import NAMES
from support import image as images
from support import layout as layouts
from support import require

_FILES = {"/plain": None, "/p": "cap_chown,cap_bpf=p", "/ep": "cap_chown,cap_bpf=ep", "/raw": "cap_net_raw=p"}
_CAPABILITIES = ("chown", "bpf")
_serial = itertools.count()


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """Returns an OCI bundle with programs that have capabilities."""
    require.root()
    directory = tmp_path_factory.mktemp("gvisor")
    files = [
        samples.File(path, samples.read_report_program(), from_text(text) if text else None) for path, text in _FILES.items()
    ]
    files.append(samples.File("/setuid", samples.read_report_program(), None, 0o4755))
    layout = images.layout(directory / "image", samples.make_layer(*files), Entrypoint=["/plain"], User="65532")
    command = [
        require.tool("umoci"),
        "unpack",
        "--image",
        layouts.copy_tagged(layout, directory / "layout"),
        str(directory / "bundle"),
    ]
    subprocess.run(command, check=True, capture_output=True)
    return directory / "bundle"


def _run_program(
    bundle: pathlib.Path, program: str, granted: tuple[str, ...], *flags: str, no_new_privs: bool = False, uid: int = 65532
) -> str:
    """Runs a program with granted capabilities; returns its output and the errors of runsc."""
    spec = json.loads((bundle / "config.json").read_text())
    names = ["CAP_" + name.upper() for name in granted]
    spec["process"] |= {"terminal": False, "args": [program], "noNewPrivileges": no_new_privs, "user": {"uid": uid, "gid": uid}}
    spec["process"]["capabilities"] = {
        "bounding": names,
        "permitted": names,
        "effective": names,
        "inheritable": [],
        "ambient": [],
    }
    spec["linux"].pop("resources", None)
    (bundle / "config.json").write_text(json.dumps(spec))
    command = [require.tool("runsc"), f"--root={bundle.parent}/state", "--network=none", "--ignore-cgroups", *flags]
    name = f"container{next(_serial)}"
    done = subprocess.run([*command, "run", f"--bundle={bundle}", name], capture_output=True, text=True, timeout=60)
    return done.stdout + done.stderr


def _read_permitted(output: str) -> int:
    """Returns the permitted set in the output of a program, as a mask."""
    lines = dict(line.split(":\t", 1) for line in output.splitlines() if ":\t" in line)
    assert "CapPrm" in lines, output
    return int(lines["CapPrm"], 16)


def _make_mask(*names: str) -> int:
    """Returns the mask of capabilities; the names have no cap_."""
    return sum(1 << NAMES.index("cap_" + name) for name in names)


@pytest.mark.parametrize("no_new_privs", [False, True])
def test_file_capabilities_count(bundle, no_new_privs):
    """They count under no_new_privs too, and a file without capabilities gives none."""
    for program, expected in (("/plain", 0), ("/p", _make_mask(*_CAPABILITIES)), ("/ep", _make_mask(*_CAPABILITIES))):
        assert _read_permitted(_run_program(bundle, program, _CAPABILITIES, no_new_privs=no_new_privs)) == expected
    assert _read_permitted(_run_program(bundle, "/plain", _CAPABILITIES, no_new_privs=no_new_privs, uid=0)) == _make_mask(
        *_CAPABILITIES
    )


@pytest.mark.parametrize("program", ["/p", "/ep"])
def test_a_file_that_asks_for_more_does_not_start(bundle, program):
    assert "operation not permitted" in _run_program(bundle, program, ("chown",))


def test_raw_sockets_are_not_granted_by_default(bundle):
    assert "operation not permitted" in _run_program(bundle, "/raw", ("net_raw",))
    assert _read_permitted(_run_program(bundle, "/raw", ("net_raw",), "--net-raw")) == _make_mask("net_raw")


def test_set_user_id_bits_do_not_count(bundle):
    output = _run_program(bundle, "/setuid", _CAPABILITIES)
    assert "Uid:\t65532\t65532" in output and _read_permitted(output) == 0
