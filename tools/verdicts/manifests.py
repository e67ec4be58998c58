"""Whether the containers of Kubernetes manifests get what an image's files are to give them."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator, Sequence
from itertools import groupby

from capabilities import execve as rules
from capabilities.names import NAMES
from getcap.images import File, Image
from kubernetes import Container, Pod, of_image, read
from kubernetes.standards import LEVELS, VERSION, evaluate
from packer.errors import InputError, problem, quote
from runtimes import Settings, before_execve, runtime as named

_MAX_MANIFEST = 16 << 20
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"  # What runtimes set where an image has none.


def check(images: Sequence[Image], manifests: Sequence[str], name: str, runtime: str, level: str) -> list[str]:
    """What is wrong, a sentence each; nothing if all containers get what the files have.

    Args:
      images: one for each platform.
      manifests: paths of YAML or JSON files.
      name: what the manifests call the image; see kubernetes.images.names.
      runtime: "containerd", "cri-o", or with a version.
      level: of the Pod Security Standards, that the pods are to satisfy.

    Raises:
      InputError: a manifest is none, with all that is wrong; no container runs the image.
    """
    kind = named(runtime).name
    problems: list[str] = []
    pods: list[Pod] = []
    for path in manifests:
        with open(path, "rb") as file:
            data = file.read(_MAX_MANIFEST + 1)
        try:
            if len(data) > _MAX_MANIFEST:
                raise InputError([problem("manifests", path, f"larger than {_MAX_MANIFEST} bytes")])
            pods += read(data, path, kind)
        except InputError as error:
            problems += error.problems
    if problems:
        raise InputError(problems)
    containers = of_image(pods, name)
    if not containers:
        known = sorted({each.image for pod in pods for each in pod.containers if each.image})
        raise InputError([problem("image_name", name, "no container of the manifests runs it; they run " + (", ".join(known) or "none"))])
    said: list[str] = []
    for image in images:
        for container in containers:
            try:
                said += _container(image, container, runtime)
            except InputError as error:
                said += error.problems
    for pod in pods:
        if any(each in containers for each in pod.containers):
            said += _standing(pod, level)
    return list(dict.fromkeys(said))


def _standing(pod: Pod, level: str) -> Iterator[str]:
    standing = evaluate(pod)
    if LEVELS.index(standing.level) >= LEVELS.index(level):
        return
    for broken in standing.violations:
        if LEVELS.index(broken.level) <= LEVELS.index(level):
            yield f"{broken.where}: not {level} by the Pod Security Standards {VERSION} ({broken.control}): {broken.what}"


def _container(image: Image, container: Container, runtime: str) -> Iterator[str]:
    """What is wrong with a container."""
    settings = container.settings
    config = image.config.get("config") or {}
    before = before_execve(settings, named(runtime), config.get("User") or "", image.users, config.get("Labels"))
    process = rules.Process.of(
        before.uid,
        before.uid,
        permitted=before.permitted,
        inheritable=before.inheritable,
        effective=before.effective,
        bounding=before.bounding,
        ambient=before.ambient,
        no_new_privs=before.no_new_privs,
    )
    argv = settings.argv(config.get("Entrypoint") or [], config.get("Cmd") or [])
    first = _program(image, argv, config)
    if first is None:
        what = f"{quote(argv[0])} is not in the image" if argv else "neither it nor the image says what to run"
        yield f"{settings.where}: {what}"
        return
    # Where the first program has none, those that it starts are what the capabilities are for.
    files = [first] if first.capabilities else [file for path in image.capabilities if (file := image.file(path))]
    for file in files:
        mount = settings.mounted_over(file.path)
        executed = rules.File(file.capabilities, file.uid, file.gid, file.mode, bool(mount and mount.value.nosuid))
        start = process
        if file is not first:
            outcome = rules.execve(process, rules.File(None, first.uid, first.gid, first.mode))
            start = outcome.process or process
        yield from _wanted(settings, before.because, file, rules.execve(start, executed))


def _wanted(settings: Settings, because: object, file: File, outcome: rules.Outcome) -> Iterator[str]:
    """What is missing, by what took it away, with the fix."""
    assert file.capabilities is not None and isinstance(because, dict)
    has = outcome.process.permitted if outcome.process else 0
    missing = [bit for bit, _ in enumerate(NAMES) if file.capabilities.permitted >> bit & 1 and not has >> bit & 1]
    stops = "" if outcome.process else ', so it does not start ("operation not permitted")'

    def why(bit: int) -> str:
        about = outcome.about(bit)
        order = (rules.NOSUID, rules.NOT_BOUNDING, rules.NO_NEW_PRIVS)
        return next((rule for rule in order if rule in about), "")

    for rule, bits in groupby(sorted(missing, key=why), key=why):
        names = [NAMES[bit].removeprefix("cap_").upper() for bit in bits]
        text = f"{settings.where}: {quote(file.path)} has {file.capabilities.to_text()}, and the process does not get {', '.join(names)}{stops}"
        if rule == rules.NOSUID:
            yield f"{text}: a nosuid mount hides it; mount elsewhere"
        elif rule == rules.NO_NEW_PRIVS:
            yield f"{text}: {because['no_new_privs']}; set allowPrivilegeEscalation: true"
        elif rule == rules.NOT_BOUNDING:
            add = "[" + ", ".join(f'"{name}"' for name in names) + "]"
            yield f"{text}: granted are {because['bounding']}; set securityContext.capabilities.add: {add}"
        elif outcome.process:
            yield f"{text}: {', '.join(outcome.about(NAMES.index('cap_' + names[0].lower()))) or 'nothing grants it'}"


def _program(image: Image, argv: Sequence[str], config: dict[str, object]) -> File | None:
    """The first program, looked up in PATH as runtimes do; of a script, its interpreter."""
    if not argv:
        return None
    environment = dict(str(text).partition("=")[::2] for text in config.get("Env") or [])  # type: ignore[attr-defined]
    places = [argv[0]]
    if "/" not in argv[0]:
        places = [posixpath.join(folder, argv[0]) for folder in environment.get("PATH", _PATH).split(":")]
    elif not argv[0].startswith("/"):
        places = [posixpath.join(str(config.get("WorkingDir") or "/"), argv[0])]
    found = next((file for place in places if (file := image.file(posixpath.normpath(place)))), None)
    if found and found.interpreter:
        return image.file(found.interpreter) or found
    return found
