"""`getcap explain` predicts which programs their dynamic loader does not start, and which variables it ignores."""

from __future__ import annotations

import json
import pathlib
import subprocess

import pytest
from oracle import list_libraries

from rules_setcap import capabilities
from rules_setcap.getcap import cli
from support import require
from support.container import Bundle
from support.image import layout, tar

NET = capabilities.from_text("cap_net_bind_service=ep")


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> tuple[pathlib.Path, pathlib.Path]:
    """Returns a program, and a library that the program finds by a RUNPATH with $ORIGIN."""
    directory = tmp_path_factory.mktemp("program")
    (directory / "f.c").write_text("int f(void) { return 0; }\n")
    (directory / "main.c").write_text("int f(void);\nint main(void) { return f(); }\n")
    gcc = require.tool("gcc")
    subprocess.run([gcc, "-shared", "-fPIC", "-o", "libf.so", "f.c"], cwd=directory, check=True)
    subprocess.run([gcc, "main.c", "-o", "main", "-L.", "-lf", "-Wl,-rpath,$ORIGIN/../lib"], cwd=directory, check=True)
    return directory / "main", directory / "libf.so"


def _explain(capsys: pytest.CaptureFixture[str], image: pathlib.Path, command: str = "docker run app") -> tuple[int, dict]:
    """Explains a command line; returns the exit status and the report."""
    status = cli.main(["explain", "--json", str(image), "--docker-run", command])
    return status, json.loads(capsys.readouterr().out)


@pytest.mark.parametrize("has_loader", [True, False])
@pytest.mark.parametrize("value", [NET, None])
def test_a_program_starts_if_its_loader_is_there_and_its_library_is_not_ignored(
    tmp_path: pathlib.Path,
    capsys: pytest.CaptureFixture[str],
    program: tuple[pathlib.Path, pathlib.Path],
    value,
    has_loader: bool,
):
    main, library = program
    entries = [("/app/bin/main", value, main.read_bytes()), ("/app/lib/libf.so", None, library.read_bytes())]
    if has_loader:
        entries += [(str(path), None, path.read_bytes()) for path in list_libraries(main) if path.name != "libf.so"]
    image = layout(tmp_path / "image", tar(*entries), User="65532", Entrypoint=["/app/bin/main"], Env=["LD_PRELOAD=", "A=1"])
    status, report = _explain(capsys, image)
    outcome = Bundle(image, tmp_path).run(bounding=["CAP_NET_BIND_SERVICE"], permitted=["CAP_NET_BIND_SERVICE"])
    assert (status == 0) == (outcome.status == 0) == (has_loader and value is None), (report, outcome)
    if not has_loader:
        assert "its dynamic loader /lib64/ld-linux-x86-64.so.2 is not in the image" in report["verdict"]
    elif value:
        assert "libf.so" in outcome.output and "it finds libf.so by $ORIGIN/../lib" in report["verdict"]


def test_notes_name_the_variables_that_are_ignored(tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]):
    layer = tar(("/app", NET, "\x7fELF"))
    image = layout(
        tmp_path / "image", layer, User="65532", Entrypoint=["/app"], Env=["LD_LIBRARY_PATH=/x", "NODE_EXTRA_CA_CERTS=/y"]
    )
    status, report = _explain(capsys, image, "docker run --network=host -e GCONV_PATH=/z app")
    assert status == 0
    assert [note.partition(" (ld.so(8))")[0] for note in report["notes"]] == [
        "GCONV_PATH (docker run -e) is ignored by glibc: the program runs in secure-execution mode",
        "LD_LIBRARY_PATH (the image) is ignored by the dynamic loader: the program runs in secure-execution mode",
        "NODE_EXTRA_CA_CERTS (the image) is ignored by Node.js: the program runs in secure-execution mode",
    ]
    assert _explain(capsys, image, "docker run --network=host --user 0 app")[1]["notes"] == []
