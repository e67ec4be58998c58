"""`getcap explain` agrees with the kernel: runc runs each container that is explained under the same settings."""

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
GRANT_FLAGS = "", "--cap-add=NET_BIND_SERVICE", "--cap-add=NET_BIND_SERVICE --cap-add=BPF"
NO_NEW_PRIVS = "--security-opt=no-new-privileges"
CLEARING_VERSION, KEEPING_VERSION = "docker@20.10.14", "docker@24.0.7"
"""A version that empties the permitted set of a process other than root, and one that keeps what is granted."""


def _find_layout(name: str) -> str:
    """Returns the path of an image of this build."""
    return f"tests/runtime/probe_{name}" if name in FILES else f"tests/getcap/{name}"


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Bundle]:
    """Returns the images as unpacked containers, by name."""
    return {name: Bundle(pathlib.Path(_find_layout(name)), tmp_path_factory.mktemp(name)) for name in (*FILES, "chain")}


def explain(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, dict]:
    """Runs `getcap explain`; returns the exit status and the report."""
    status = cli.main(["explain", "--json", *arguments])
    output = capsys.readouterr()
    assert output.err == ""
    return status, json.loads(output.out)


def run_container(bundle: Bundle, command: str, version: str) -> Outcome:
    """Runs the container that a version of Docker makes of a command line."""
    settings = command_line.read_command_line(command)
    _mount_directories(bundle, settings)
    before = compute_initial_process(settings, parse_engine(version), "65532")
    assert before.inheritable == before.ambient == 0

    def list_names(mask: int) -> list[str]:
        return [name.upper() for bit, name in enumerate(NAMES) if mask >> bit & 1]

    args = settings.build_argv((), ()) or None
    return bundle.run(
        bounding=list_names(before.bounding),
        permitted=list_names(before.permitted),
        no_new_privs=before.no_new_privs,
        uid=before.uid,
        args=args,
    )


def _mount_directories(bundle: Bundle, settings: Settings) -> None:
    """Mounts directories of the container over themselves, with the options of the settings."""
    path = bundle.directory / "config.json"
    spec = json.loads(path.read_bytes())
    spec["mounts"] = [mount for mount in spec["mounts"] if mount["type"] != "bind"]
    for mount in settings.mounts:
        source = str(bundle.rootfs) + mount.value.target
        options = ["bind", "nosuid" if mount.value.nosuid else "suid"]
        spec["mounts"].append({"destination": mount.value.target, "type": "bind", "source": source, "options": options})
    path.write_text(json.dumps(spec))


def assert_agreement(report: dict, outcome: Outcome) -> None:
    """Asserts that a report agrees with the container that ran."""
    if "permitted" not in report:
        assert report["verdict"].startswith("does not start")
        assert outcome.status != 0 and "operation not permitted" in outcome.output
        return
    assert outcome.status == 0, outcome.output
    for name, line in (("permitted", "CapPrm"), ("effective", "CapEff"), ("bounding", "CapBnd"), ("ambient", "CapAmb")):
        match = re.search(rf"^{line}:\s*([0-9a-f]{{16}})$", outcome.output, re.MULTILINE)
        assert match, outcome.output
        assert sum(1 << NAMES.index(capability) for capability in report[name]) == int(match[1], 16), name
    assert f"NoNewPrivs:\t{int(report['no_new_privs'])}" in outcome.output


def apply_fixes(command: str, report: dict) -> str | None:
    """Returns the command line with the fixes of a report; None if a fix changes the image."""
    for fix in report["fix"]:
        if fix.startswith("add --"):
            command = command.replace("docker run", "docker run " + fix.removeprefix("add "))
        elif fix.startswith("leave out no-new-privileges"):
            command = command.replace(NO_NEW_PRIVS, "")
        else:
            return None
    return command


CASES = list(itertools.product(FILES, GRANT_FLAGS, ("", NO_NEW_PRIVS), ("", "--user=0"), (CLEARING_VERSION, KEEPING_VERSION)))


@pytest.mark.parametrize("file, grants, no_new_privs, user, version", CASES)
def test_the_verdict_and_the_fix_are_true(bundles, capsys, file: str, grants: str, no_new_privs: str, user: str, version: str):
    command = f"docker run --cap-drop=ALL {grants} {no_new_privs} {user} app"
    status, report = explain(capsys, _find_layout(file), "--docker-run", command, "--runtime", version)
    assert_agreement(report, run_container(bundles[file], command, version))
    assert (status == 0) == (not report["fix"])
    fixed_command = apply_fixes(command, report)
    if status and fixed_command:
        outcome = run_container(bundles[file], fixed_command, version)
        assert outcome.status == 0, (fixed_command, outcome.output)
        status, report = explain(capsys, _find_layout(file), "--docker-run", fixed_command, "--runtime", version)
        assert status == 0
        assert_agreement(report, outcome)


ADD_NET = "--cap-add=NET_BIND_SERVICE"


@pytest.mark.parametrize("no_new_privs", ["", NO_NEW_PRIVS])
@pytest.mark.parametrize("version", [CLEARING_VERSION, KEEPING_VERSION])
@pytest.mark.parametrize(
    "program, good",
    [
        ("/app/probe", True),
        ("/bin/tini -- /app/probe", False),
        ("/bin/dumb-init -- /app/probe", True),
        ("/run.sh", True),
    ],
)
def test_the_capabilities_of_every_program_count(bundles, capsys, program: str, good: bool, version: str, no_new_privs: str):
    words = shlex.split(program)
    command = f"docker run --cap-drop=ALL {ADD_NET} {no_new_privs} --entrypoint={words[0]} app {shlex.join(words[1:])}"
    status, report = explain(capsys, _find_layout("chain"), "--docker-run", command, "--runtime", version)
    assert_agreement(report, run_container(bundles["chain"], command, version))
    assert report["programs"][-1] == {"path": "/app/probe", "script": "/run.sh" if program == "/run.sh" else ""}
    assert (status == 0) == (not no_new_privs or (good and version == KEEPING_VERSION))
    if no_new_privs and not good and version == KEEPING_VERSION:
        assert any("lost by /bin/tini" in reason for reason in report["why"])


@pytest.mark.parametrize("option, good", [("", False), (":suid", True), (":nosuid", False)])
def test_file_capabilities_do_not_count_on_nosuid_mounts(bundles, capsys, option: str, good: bool):
    command = f"podman run --entrypoint=/app/probe -v data:/app{option} app"
    status, report = explain(capsys, _find_layout("chain"), "--docker-run", command)
    assert_agreement(report, run_container(bundles["chain"], command, "podman"))
    assert (status == 0) == good and "hidden by a mount" in report["notes"][0]
    assert any("nosuid mount" in reason for reason in report["why"]) != good


def test_an_image_with_invalid_capabilities_has_no_good_verdict(capsys, tmp_path):
    image = layout(tmp_path / "image", tar(("/app", bytes(5), "file")), Entrypoint=["/app"], User="65532")
    status, report = explain(capsys, str(image), "--docker-run", "docker run image")
    assert status == 1 and report["verdict"] == "runs without capabilities, and asks for none"
    (problem,) = report["problems"]
    assert problem.startswith('"/app": ')
    assert cli.main(["explain", str(image), "--docker-run", "docker run image"]) == 1
    assert f"\n  problem: {problem}\n" in capsys.readouterr().out


def test_the_entrypoint_of_the_image_is_followed(capsys):
    _, report = explain(capsys, _find_layout("chain"), "--docker-run", "docker run --init app")
    assert [program["path"] for program in report["programs"]] == ["the runtime's init", "/bin/tini", "/app/probe"]


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


def test_pods_are_explained(tmp_path: pathlib.Path, capsys):
    path = tmp_path / "pod.yaml"

    def explain_pod(*values: object, image: str = "chain") -> tuple[int, dict]:
        path.write_text(POD % values)
        return explain(capsys, _find_layout(image), "--kubernetes", str(path), "--container=app")

    assert explain_pod("true", 1, "true", "NET_BIND_SERVICE")[0] == 0
    status, report = explain_pod("false", 1, "true", "NET_BIND_SERVICE")
    # test_the_capabilities_of_every_program_count runs dumb-init, which has the same capabilities.
    fix = 'assign the same capabilities to /bin/tini, which runs before: file_capabilities = {"/bin/tini": "cap_net_bind_service=p"}'
    assert (status, report["fix"]) == (1, [fix])
    assert any("pod.yaml:8: spec.containers[0].securityContext.allowPrivilegeEscalation" in reason for reason in report["why"])
    # Without a program before it, the permitted set that containerd leaves is enough.
    assert explain_pod("false", 1, "true", "NET_BIND_SERVICE, BPF", image="permitted")[0] == 0
    status, report = explain_pod("false", 1, "true", "", image="effective")
    assert status == 1 and report["verdict"].startswith("does not start")
    assert report["fix"] == ["add to securityContext.capabilities: add: [NET_BIND_SERVICE, BPF]"]
    status, report = explain_pod("true", 0, "true", "NET_BIND_SERVICE")
    assert status == 1 and report["verdict"].startswith("does not start") and "runAsNonRoot" in report["why"][0]


def test_compose_services_are_explained(tmp_path: pathlib.Path, capsys):
    path = tmp_path / "compose.yaml"
    path.write_text('services: {web: {image: app, cap_drop: [ALL], security_opt: ["no-new-privileges:true"]}}')
    status, report = explain(
        capsys, _find_layout("permitted"), "--compose", str(path), "--service=web", "--runtime", CLEARING_VERSION
    )
    assert status == 1 and len(report["fix"]) == 2
    assert report["fix"][0] == "add to the service: cap_add: [NET_BIND_SERVICE, BPF]"


@pytest.mark.parametrize(
    "arguments, words",
    [
        (["--docker-run", "docker run --cap-add=NET_BIND app"], "NET_BIND_SERVICE"),
        (["--docker-run", "docker run --entrypoint=/app/prob app"], "no such program"),
        (["--docker-run", "docker run --user=web app"], "write the uid"),
        (["--docker-run", "docker run app", "--runtime=containerd"], "the settings are for docker"),
        (["--docker-run", "docker run app", "--runtime=dockar"], 'did you mean "docker"'),
        (["--kubernetes", "/dev/zero"], "not a regular file"),
        (["--compose", "none.yaml", "--service=x"], "No such file"),
    ],
)
def test_invalid_input_is_reported_in_one_line(capsys, arguments: list[str], words: str):
    assert cli.main(["explain", _find_layout("permitted"), *arguments]) == 2
    output = capsys.readouterr()
    assert output.out == "" and words in output.err and len(output.err.splitlines()) == 1


@pytest.mark.parametrize(
    "arguments", [[], ["x", "--service=y"], ["x", "--compose=y"], ["x", "--docker-run=y", "--container=z"], ["x", "--frob"]]
)
def test_invalid_flags_are_reported_in_one_line(capsys, arguments: list[str]):
    with pytest.raises(SystemExit) as done:
        cli.main(["explain", *arguments])
    assert done.value.code == 2
    assert len(capsys.readouterr().err.splitlines()) == 1
