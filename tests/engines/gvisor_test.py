"""gVisor (runsc): what its own kernel makes of file capabilities, as docs/capabilities.md has it."""

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
_BOTH = ("chown", "bpf")
_serial = itertools.count()


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    require.root()
    directory = tmp_path_factory.mktemp("gvisor")
    files = [samples.File(path, samples.report(), from_text(text) if text else None) for path, text in _FILES.items()]
    files.append(samples.File("/setuid", samples.report(), None, 0o4755))
    layout = images.layout(directory / "image", samples.layer(*files), Entrypoint=["/plain"], User="65532")
    command = [require.tool("umoci"), "unpack", "--image", layouts.tagged(layout, directory / "layout"), str(directory / "bundle")]
    subprocess.run(command, check=True, capture_output=True)
    return directory / "bundle"


def _run(bundle: pathlib.Path, program: str, granted: tuple[str, ...], *flags: str, no_new_privs: bool = False, uid: int = 65532) -> str:
    """Runs a program with capabilities that are granted; returns what it prints, or the error."""
    spec = json.loads((bundle / "config.json").read_text())
    names = ["CAP_" + name.upper() for name in granted]
    spec["process"] |= {"terminal": False, "args": [program], "noNewPrivileges": no_new_privs, "user": {"uid": uid, "gid": uid}}
    spec["process"]["capabilities"] = {"bounding": names, "permitted": names, "effective": names, "inheritable": [], "ambient": []}
    spec["linux"].pop("resources", None)
    (bundle / "config.json").write_text(json.dumps(spec))
    command = [require.tool("runsc"), f"--root={bundle.parent}/state", "--network=none", "--ignore-cgroups", *flags]
    name = f"container{next(_serial)}"
    done = subprocess.run([*command, "run", f"--bundle={bundle}", name], capture_output=True, text=True, timeout=60)
    return done.stdout + done.stderr


def _permitted(output: str) -> int:
    lines = dict(line.split(":\t", 1) for line in output.splitlines() if ":\t" in line)
    assert "CapPrm" in lines, output
    return int(lines["CapPrm"], 16)


def _mask(*names: str) -> int:
    return sum(1 << NAMES.index("cap_" + name) for name in names)


@pytest.mark.parametrize("no_new_privs", [False, True])
def test_file_capabilities_work(bundle, no_new_privs):
    """no_new_privs changes nothing, and a file without capabilities gives none."""
    for program, expected in (("/plain", 0), ("/p", _mask(*_BOTH)), ("/ep", _mask(*_BOTH))):
        assert _permitted(_run(bundle, program, _BOTH, no_new_privs=no_new_privs)) == expected
    assert _permitted(_run(bundle, "/plain", _BOTH, no_new_privs=no_new_privs, uid=0)) == _mask(*_BOTH)


@pytest.mark.parametrize("program", ["/p", "/ep"])
def test_a_file_that_asks_for_more_does_not_start(bundle, program):
    assert "operation not permitted" in _run(bundle, program, ("chown",))


def test_raw_sockets_are_not_granted_by_default(bundle):
    assert "operation not permitted" in _run(bundle, "/raw", ("net_raw",))
    assert _permitted(_run(bundle, "/raw", ("net_raw",), "--net-raw")) == _mask("net_raw")


def test_set_user_id_bits_do_nothing(bundle):
    output = _run(bundle, "/setuid", _BOTH)
    assert "Uid:\t65532\t65532" in output and _permitted(output) == 0
