"""getcap explain agrees with the kernel: each verdict is run by runc under the same settings."""

from __future__ import annotations

import itertools
import json
import pathlib
import re
import shlex

import pytest

from rules_setcap.capabilities.names import NAMES
from rules_setcap.containers.docker import command_line
from rules_setcap.containers.engines import parse_engine
from rules_setcap.containers.process import compute_initial_process
from rules_setcap.containers.settings import Settings
from rules_setcap.getcap import cli
from support.container import Bundle, Outcome
from support.image import layout, tar

FILES = "effective", "empty", "none", "permitted"
GRANTS = "", "--cap-add=NET_BIND_SERVICE", "--cap-add=NET_BIND_SERVICE --cap-add=BPF"
NO_NEW_PRIVS = "--security-opt=no-new-privileges"
CLEARS, KEEPS = "docker@20.10.14", "docker@24.0.7"
"""A version that leaves a process of another user than root nothing permitted, and one that leaves it all that is granted."""


def _layout(name: str) -> str:
    return f"tests/runtime/probe_{name}" if name in FILES else f"tests/getcap/{name}"


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Bundle]:
    return {name: Bundle(pathlib.Path(_layout(name)), tmp_path_factory.mktemp(name)) for name in (*FILES, "chain")}


def explain(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, dict]:
    status = cli.main(["explain", "--json", *arguments])
    output = capsys.readouterr()
    assert output.err == ""
    return status, json.loads(output.out)


def real(bundle: Bundle, command: str, version: str) -> Outcome:
    """What the kernel says to what Docker makes of a command."""
    settings = command_line.read_command_line(command)
    _mount(bundle, settings)
    before = compute_initial_process(settings, parse_engine(version), "65532")
    assert before.inheritable == before.ambient == 0

    def names(mask: int) -> list[str]:
        return [name.upper() for bit, name in enumerate(NAMES) if mask >> bit & 1]

    args = settings.build_argv((), ()) or None
    return bundle.run(
        bounding=names(before.bounding), permitted=names(before.permitted), no_new_privs=before.no_new_privs, uid=before.uid, args=args
    )


def _mount(bundle: Bundle, settings: Settings) -> None:
    """Mounts over the image's directories what is in them."""
    path = bundle.directory / "config.json"
    spec = json.loads(path.read_bytes())
    spec["mounts"] = [mount for mount in spec["mounts"] if mount["type"] != "bind"]
    for said in settings.mounts:
        source = str(bundle.rootfs) + said.value.target
        options = ["bind", "nosuid" if said.value.nosuid else "suid"]
        spec["mounts"].append({"destination": said.value.target, "type": "bind", "source": source, "options": options})
    path.write_text(json.dumps(spec))


def agree(said: dict, outcome: Outcome) -> None:
    """Checks a report against what ran."""
    if "permitted" not in said:
        assert said["verdict"].startswith("does not start")
        assert outcome.status != 0 and "operation not permitted" in outcome.output
        return
    assert outcome.status == 0, outcome.output
    for name, line in (("permitted", "CapPrm"), ("effective", "CapEff"), ("bounding", "CapBnd"), ("ambient", "CapAmb")):
        match = re.search(rf"^{line}:\s*([0-9a-f]{{16}})$", outcome.output, re.MULTILINE)
        assert match, outcome.output
        assert sum(1 << NAMES.index(each) for each in said[name]) == int(match[1], 16), name
    assert f"NoNewPrivs:\t{int(said['no_new_privs'])}" in outcome.output


def fixed(command: str, said: dict) -> str | None:
    """The command with what a report advises; None if that is about the image."""
    for fix in said["fix"]:
        if fix.startswith("add --"):
            command = command.replace("docker run", "docker run " + fix.removeprefix("add "))
        elif fix.startswith("leave out no-new-privileges"):
            command = command.replace(NO_NEW_PRIVS, "")
        else:
            return None
    return command


CASES = list(itertools.product(FILES, GRANTS, ("", NO_NEW_PRIVS), ("", "--user=0"), (CLEARS, KEEPS)))


@pytest.mark.parametrize("file, grants, no_new_privs, user, version", CASES)
def test_verdict_and_fix_are_true(bundles, capsys, file: str, grants: str, no_new_privs: str, user: str, version: str):
    command = f"docker run --cap-drop=ALL {grants} {no_new_privs} {user} app"
    status, said = explain(capsys, _layout(file), "--docker-run", command, "--runtime", version)
    agree(said, real(bundles[file], command, version))
    assert (status == 0) == (not said["fix"])
    better = fixed(command, said)
    if status and better:
        outcome = real(bundles[file], better, version)
        assert outcome.status == 0, (better, outcome.output)
        status, said = explain(capsys, _layout(file), "--docker-run", better, "--runtime", version)
        assert status == 0
        agree(said, outcome)


NET = "--cap-add=NET_BIND_SERVICE"


@pytest.mark.parametrize("no_new_privs", ["", NO_NEW_PRIVS])
@pytest.mark.parametrize("version", [CLEARS, KEEPS])
@pytest.mark.parametrize(
    "program, good",
    [
        ("/app/probe", True),
        ("/bin/tini -- /app/probe", False),
        ("/bin/dumb-init -- /app/probe", True),
        ("/run.sh", True),
    ],
)
def test_every_hop_counts(bundles, capsys, program: str, good: bool, version: str, no_new_privs: str):
    words = shlex.split(program)
    command = f"docker run --cap-drop=ALL {NET} {no_new_privs} --entrypoint={words[0]} app {shlex.join(words[1:])}"
    status, said = explain(capsys, _layout("chain"), "--docker-run", command, "--runtime", version)
    agree(said, real(bundles["chain"], command, version))
    assert said["programs"][-1] == {"path": "/app/probe", "script": "/run.sh" if program == "/run.sh" else ""}
    assert (status == 0) == (not no_new_privs or (good and version == KEEPS))
    if no_new_privs and not good and version == KEEPS:
        assert any("lost by /bin/tini" in why for why in said["why"])


@pytest.mark.parametrize("option, good", [("", False), (":suid", True), (":nosuid", False)])
def test_nosuid_mounts(bundles, capsys, option: str, good: bool):
    command = f"podman run --entrypoint=/app/probe -v data:/app{option} app"
    status, said = explain(capsys, _layout("chain"), "--docker-run", command)
    agree(said, real(bundles["chain"], command, "podman"))
    assert (status == 0) == good and "hidden by a mount" in said["notes"][0]
    assert any("nosuid mount" in why for why in said["why"]) != good


def test_an_image_whose_capabilities_are_in_doubt(capsys, tmp_path):
    """The verdict is not good, whatever the settings grant."""
    image = layout(tmp_path / "image", tar(("/app", bytes(5), "file")), Entrypoint=["/app"], User="65532")
    status, found = explain(capsys, str(image), "--docker-run", "docker run image")
    assert status == 1 and found["verdict"] == "runs without capabilities, and asks for none"
    (problem,) = found["problems"]
    assert problem.startswith('"/app": ')
    assert cli.main(["explain", str(image), "--docker-run", "docker run image"]) == 1
    assert f"\n  problem: {problem}\n" in capsys.readouterr().out


def test_the_images_own_entrypoint_is_followed(capsys):
    _, said = explain(capsys, _layout("chain"), "--docker-run", "docker run --init app")
    assert [each["path"] for each in said["programs"]] == ["the runtime's init", "/bin/tini", "/app/probe"]


POD = """\
apiVersion: v1
kind: Pod
metadata: {name: web}
spec:
  containers:
  - name: app
    image: app
    securityContext: {allowPrivilegeEscalation: %s, runAsUser: %d, runAsNonRoot: %s, capabilities: {drop: [ALL], add: [%s]}}
"""


def test_kubernetes(tmp_path: pathlib.Path, capsys):
    path = tmp_path / "pod.yaml"

    def said(*values: object, image: str = "chain") -> tuple[int, dict]:
        path.write_text(POD % values)
        return explain(capsys, _layout(image), "--kubernetes", str(path), "--container=app")

    assert said("true", 1, "true", "NET_BIND_SERVICE")[0] == 0
    status, report = said("false", 1, "true", "NET_BIND_SERVICE")
    # test_every_hop_counts runs dumb-init, which has the same.
    fix = 'give /bin/tini, which runs before, the same: file_capabilities = {"/bin/tini": "cap_net_bind_service=p"}'
    assert (status, report["fix"]) == (1, [fix])
    assert any("pod.yaml:8: spec.containers[0].securityContext.allowPrivilegeEscalation" in why for why in report["why"])
    # Without a program before it, what containerd leaves permitted is enough.
    assert said("false", 1, "true", "NET_BIND_SERVICE, BPF", image="permitted")[0] == 0
    status, report = said("false", 1, "true", "", image="effective")
    assert status == 1 and report["verdict"].startswith("does not start")
    assert report["fix"] == ["add to securityContext.capabilities: add: [NET_BIND_SERVICE, BPF]"]
    status, report = said("true", 0, "true", "NET_BIND_SERVICE")
    assert status == 1 and report["verdict"].startswith("does not start") and "runAsNonRoot" in report["why"][0]


def test_compose(tmp_path: pathlib.Path, capsys):
    path = tmp_path / "compose.yaml"
    path.write_text('services: {web: {image: app, cap_drop: [ALL], security_opt: ["no-new-privileges:true"]}}')
    status, report = explain(capsys, _layout("permitted"), "--compose", str(path), "--service=web", "--runtime", CLEARS)
    assert status == 1 and len(report["fix"]) == 2
    assert report["fix"][0] == "add to the service: cap_add: [NET_BIND_SERVICE, BPF]"


@pytest.mark.parametrize(
    "arguments, words",
    [
        (["--docker-run", "docker run --cap-add=NET_BIND app"], "NET_BIND_SERVICE"),
        (["--docker-run", "docker run --entrypoint=/app/prob app"], "no such program"),
        (["--docker-run", "docker run --user=web app"], "write the uid"),
        (["--docker-run", "docker run app", "--runtime=containerd"], "the settings are for docker"),
        (["--docker-run", "docker run app", "--runtime=dokcer"], 'did you mean "docker"'),
        (["--kubernetes", "/dev/zero"], "not a regular file"),
        (["--compose", "none.yaml", "--service=x"], "No such file"),
    ],
)
def test_bad_input_is_one_line(capsys, arguments: list[str], words: str):
    assert cli.main(["explain", _layout("permitted"), *arguments]) == 2
    output = capsys.readouterr()
    assert output.out == "" and words in output.err and len(output.err.splitlines()) == 1


@pytest.mark.parametrize(
    "arguments", [[], ["x", "--service=y"], ["x", "--compose=y"], ["x", "--docker-run=y", "--container=z"], ["x", "--frob"]]
)
def test_bad_flags_are_one_line(capsys, arguments: list[str]):
    with pytest.raises(SystemExit) as done:
        cli.main(["explain", *arguments])
    assert done.value.code == 2
    assert len(capsys.readouterr().err.splitlines()) == 1
