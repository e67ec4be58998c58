"""Manifests of real shapes, and every message about those that are wrong."""

from __future__ import annotations

import pathlib

import pytest

from rules_setcap.capabilities.names import ALL, NAMES
from rules_setcap.containers.engines import Engine, parse_engine
from rules_setcap.containers.kubernetes import manifests, select, standards
from rules_setcap.containers.process import compute_initial_process
from rules_setcap.diagnostics.errors import InputError

MANIFESTS = pathlib.Path("tests/unit/containers/kubernetes/manifests")


def _mask(names: str) -> int:
    return ALL if names == "all" else sum(1 << NAMES.index("cap_" + name) for name in names.split())


def _file(name: str) -> list[manifests.Pod]:
    return manifests.read_pods((MANIFESTS / name).read_bytes(), name)


DEFAULT = compute_initial_process(_file("vault.yaml")[0].containers[0].settings).bounding & ~_mask("ipc_lock")

# File, container, uid (the image's is 65532), granted, no_new_privs, level of the pod.
REAL = [
    ("ingress-nginx.yaml", "controller", 101, _mask("net_bind_service"), True, "restricted"),
    ("ingress-nginx.yaml", "create", 65532, 0, True, "restricted"),
    ("coredns.yaml", "coredns", 65532, _mask("net_bind_service"), True, "baseline"),
    ("caddy.yaml", "caddy", 1000, _mask("net_bind_service"), False, "baseline"),
    ("kubevirt.yaml", "container-disk-binary", 107, 0, True, "restricted"),
    ("kubevirt.yaml", "compute", 107, _mask("net_bind_service"), True, "restricted"),
    ("vault.yaml", "vault", 100, DEFAULT | _mask("ipc_lock setfcap"), False, "privileged"),
    ("cilium.yaml", "mount-cgroup", 65532, _mask("sys_admin sys_chroot sys_ptrace"), False, "privileged"),
    ("cilium.yaml", "mount-bpf-fs", 65532, ALL, False, "privileged"),
    ("bpf-agent.yaml", "profiler", 65532, _mask("bpf perfmon"), False, "privileged"),
    ("bpf-agent.yaml", "clean-up", 0, _mask("bpf perfmon"), False, "privileged"),
]


@pytest.mark.parametrize("file, name, uid, granted, no_new_privs, level", REAL)
def test_real_shapes(file, name, uid, granted, no_new_privs, level):
    pods = _file(file)
    container = select.find_container(pods, name)
    process = compute_initial_process(container.settings, image_user="65532")
    assert (process.uid, process.bounding, process.no_new_privs) == (uid, granted, no_new_privs)
    # containerd leaves what it grants permitted, to whomever.
    assert (process.permitted, process.inheritable, process.ambient) == (granted, 0, 0)
    (pod,) = [pod for pod in pods if container in pod.containers]
    assert standards.evaluate_pod(pod).level == level


def test_where_things_are_said():
    settings = select.find_container(_file("ingress-nginx.yaml"), "controller").settings
    lines = (MANIFESTS / "ingress-nginx.yaml").read_text().splitlines()
    context = "spec.template.spec.containers[0].securityContext"
    assert settings.user.value == "101:82"
    for said, text, path in (
        (settings.user, "runAsUser: 101", "runAsUser"),
        (settings.added[0], "- NET_BIND_SERVICE", "capabilities.add[0]"),
        (settings.dropped[0], "- ALL", "capabilities.drop[0]"),
        (settings.no_new_privs, "allowPrivilegeEscalation: false", "allowPrivilegeEscalation"),
    ):
        line = next(number for number, line in enumerate(lines, 1) if line.strip() == text)
        assert said.where == f"ingress-nginx.yaml:{line}: {context}.{path}"
    assert settings.find_mount_over("/usr/local/certificates/cert").value.kind == "secret"
    assert settings.build_argv(["/usr/bin/dumb-init", "--"], ["/nginx-ingress-controller"])[:3] == (
        "/usr/bin/dumb-init",
        "--",
        "/nginx-ingress-controller",
    )


def test_volumes_over_the_program():
    settings = select.find_container(_file("caddy.yaml"), "caddy").settings
    assert settings.find_mount_over("/usr/bin/caddy").value.kind == "emptyDir"
    assert settings.find_mount_over("/data/x").value.kind == "persistentVolumeClaim"
    assert settings.find_mount_over("/usr/sbin/caddy") is None
    # A command takes the image's CMD away.
    assert settings.build_argv(["/entrypoint"], ["cmd"])[0] == "caddy" and "cmd" not in settings.build_argv([], ["cmd"])


def test_user_namespaces():
    pods = _file("bpf-agent.yaml")
    assert [compute_initial_process(pod.containers[0].settings, image_user="1").user_namespace for pod in pods] == [False, True]


def test_containers_of_an_image():
    pods = [pod for path in sorted(MANIFESTS.iterdir()) for pod in _file(path.name)]
    assert len(pods) == 9
    assert [one.name for one in select.find_containers_of_image(pods, "docker.io/library/caddy:2")] == ["caddy"]
    assert [one.name for one in select.find_containers_of_image(pods, "localhost:5000/profiler")] == ["profiler", "clean-up"]
    assert [one.name for one in select.find_containers_of_image(pods, "localhost:5000/profiler:latest")] == ["profiler"]
    assert select.find_containers_of_image(pods, "localhost:5000/other") == []
    with pytest.raises(InputError) as refused:
        select.find_containers_of_image(pods, "a//b")
    assert refused.value.problems == ['image: "a//b": invalid image name; write it as registry.example/path:tag, in lower case']


def test_one_container():
    pods = _file("cilium.yaml")
    assert select.find_container(pods, "DaemonSet/cilium/cilium-agent") is select.find_container(pods, "cilium-agent")
    for name, said in (
        ("cilium-agnet", 'container: "cilium-agnet": no container of this name; did you mean "cilium-agent"?'),
        ("web", 'container: "web": no container of this name; there are "cilium-agent", "mount-bpf-fs", "mount-cgroup"'),
    ):
        with pytest.raises(InputError) as refused:
            select.find_container(pods, name)
        assert refused.value.problems == [said]
    with pytest.raises(InputError) as refused:
        select.find_container([*_file("vault.yaml"), *_file("vault.yaml"), *_file("caddy.yaml")][1:], "nothing")
    with pytest.raises(InputError, match='there are several; write one of "Deployment/a/x", "Deployment/b/x"'):
        twice = _pod("metadata: {name: a}\n", kind="Deployment") + b"---\n" + _pod("metadata: {name: b}\n", kind="Deployment")
        select.find_container(manifests.read_pods(twice, "file.yaml"), "x")


def _pod(more: str = "", context: str = "{}", kind: str = "Pod", image: str = "image") -> bytes:
    """A manifest with one container x."""
    spec = f"{{containers: [{{name: x, image: {image}, securityContext: {context}}}]}}"
    if kind == "Pod":
        return f"apiVersion: v1\nkind: Pod\n{more}spec: {spec}\n".encode()
    return f"apiVersion: apps/v1\nkind: {kind}\n{more}spec: {{template: {{spec: {spec}}}}}\n".encode()


def _refused(text: bytes, name: str = "containerd") -> list[str]:
    with pytest.raises(InputError) as refused:
        manifests.read_pods(text, "file.yaml", name)
    return refused.value.problems


CONTEXT = "spec.containers[0].securityContext"


@pytest.mark.parametrize(
    "context, said",
    [
        ("[]", f'{CONTEXT}: "a list": not a mapping'),
        ("{privileged: 1}", f'{CONTEXT}.privileged: "1": neither true nor false'),
        ("{runAsUser: -1}", f'{CONTEXT}.runAsUser: "-1": not 0 to 2147483647'),
        ("{runAsUser: '1'}", f'{CONTEXT}.runAsUser: "1": not a whole number'),
        ("{runAsGroup: 1e3}", f'{CONTEXT}.runAsGroup: "1e3": not a whole number'),
        ("{runAsNonroot: true}", f'{CONTEXT}.runAsNonroot: "runAsNonroot": unknown field; did you mean "runAsNonRoot"?'),
        ("{capabilities: [NET_ADMIN]}", f'{CONTEXT}.capabilities: "a list": not a mapping'),
        ("{capabilities: {ad: [KILL]}}", f'{CONTEXT}.capabilities.ad: "ad": unknown field; did you mean "add"?'),
        ("{capabilities: {add: KILL}}", f'{CONTEXT}.capabilities.add: "KILL": not a list'),
        ("{capabilities: {add: [KILL, 5]}}", f'{CONTEXT}.capabilities.add[1]: "5": not a text to YAML; put it in quotes'),
        (
            "{capabilities: {drop: [KILL, NET_BIND]}}",
            f'{CONTEXT}.capabilities.drop[1]: "NET_BIND": unknown capability; did you mean "NET_BIND_SERVICE"?',
        ),
        (
            "{capabilities: {add: [CAP_KILL]}}",
            f'{CONTEXT}.capabilities.add[0]: "CAP_KILL": Kubernetes has names without CAP_, '
            'and containerd would silently ignore this one; write "KILL"',
        ),
        (
            "{privileged: true, allowPrivilegeEscalation: false}",
            f'{CONTEXT}.allowPrivilegeEscalation: "false": the API server refuses it together with privileged: true',
        ),
    ],
)
def test_wrong_context(context, said):
    assert _refused(_pod(context=context)) == ["file.yaml:3: " + said]


def test_cri_o_takes_a_prefix():
    (pod,) = manifests.read_pods(_pod(context="{capabilities: {add: [CAP_KILL, bpf]}}"), "file.yaml", "cri-o")
    assert [one.value for one in pod.containers[0].settings.added] == ["cap_kill", "cap_bpf"]
    assert _refused(_pod(context="{capabilities: {add: [cap_kill]}}"), "cri-o") == [
        f'file.yaml:3: {CONTEXT}.capabilities.add[0]: "cap_kill": CRI-O knows CAP_ in upper case only; write "KILL"'
    ]
    assert _refused(_pod(context="{allowPrivilegeEscalation: false, capabilities: {add: [CAP_SYS_ADMIN]}}"), "cri-o") == [
        f'file.yaml:3: {CONTEXT}.allowPrivilegeEscalation: "false": the API server refuses it together with CAP_SYS_ADMIN'
    ]


def test_what_a_user_namespace_forbids():
    text = b"{apiVersion: v1, kind: Pod, spec: {hostUsers: false, hostPID: true, hostIPC: false, containers: [{name: x}]}}"
    assert _refused(text) == ['file.yaml:1: spec.hostPID: "true": the API server refuses it together with hostUsers: false']
    text = b"{apiVersion: v1, kind: Pod, spec: {hostUsers: false, hostNetwork: true, containers: [{name: x}]}}"
    assert _refused(text) == ['file.yaml:1: spec.hostNetwork: "true": the API server refuses it together with hostUsers: false']


def test_an_unmasked_proc_needs_a_user_namespace():
    context = "securityContext: {procMount: Unmasked}"
    text = "{apiVersion: v1, kind: Pod, spec: {%s, containers: [{name: x, %s}]}}"
    assert manifests.read_pods((text % ("hostUsers: false", context)).encode(), "file.yaml")
    assert _refused((text % ("hostUsers: true", context)).encode()) == [
        'file.yaml:1: spec.containers[0].securityContext.procMount: "Unmasked": the API server refuses it unless the pod has hostUsers: false'
    ]


def test_sysctls_of_the_network_beside_that_of_the_host():
    text = (
        "{apiVersion: v1, kind: Pod, spec: {hostNetwork: %s, containers: [{name: x}],"
        " securityContext: {sysctls: [{name: net.ipv4.ping_group_range, value: 0 0}]}}}"
    )
    assert manifests.read_pods((text % "false").encode(), "file.yaml")
    assert _refused((text % "true").encode()) == [
        'file.yaml:1: spec.securityContext.sysctls[0].name: "net.ipv4.ping_group_range": '
        "the API server refuses it together with hostNetwork: true"
    ]


def test_ids_of_a_user_namespace():
    """containerd and the kernel refuse them: the pod's user namespace does not map them."""
    text = (
        "{apiVersion: v1, kind: Pod, spec: {hostUsers: false, containers: [{name: x, securityContext: {runAsUser: %d}}],"
        " securityContext: {sysctls: [{name: net.ipv4.ping_group_range, value: 0 %d}]}}}"
    )
    (pod,) = manifests.read_pods((text % (65535, 65535)).encode(), "file.yaml")
    assert compute_initial_process(pod.containers[0].settings).uid == 65535
    (pod,) = manifests.read_pods((text % (65536, 65535)).encode(), "file.yaml")
    with pytest.raises(InputError, match="has the IDs 0 to 65535 by default"):
        compute_initial_process(pod.containers[0].settings)
    (refused,) = _refused((text % (0, 2147483647)).encode())
    assert refused.startswith('file.yaml:1: spec.securityContext.sysctls[0].value: "0 2147483647": the pod does not start')


def test_a_pods_group_needs_its_user():
    text = b"{apiVersion: v1, kind: Pod, spec: {securityContext: {runAsGroup: 5}, containers: [{name: x, securityContext: {runAsUser: 5}}]}}"
    assert manifests.read_pods(text, "file.yaml", "cri-o")
    (refused,) = _refused(text)
    assert refused.startswith('file.yaml:1: spec.securityContext.runAsGroup: "5": containerd does not start a pod with a group and without')


def test_sys_admin_does_not_lift_no_new_privs():
    (pod,) = manifests.read_pods(_pod(context="{allowPrivilegeEscalation: false, capabilities: {add: [SYS_ADMIN]}}"), "file.yaml")
    assert compute_initial_process(pod.containers[0].settings).no_new_privs is True


@pytest.mark.parametrize(
    "text, said",
    [
        (b"", "file.yaml: no Kubernetes object in it"),
        (b"# nothing\n---\n---\n", "file.yaml: no Kubernetes object in it"),
        (b"text", 'file.yaml:1: "text": not a Kubernetes object; it has apiVersion and kind'),
        (b"services: {}", 'file.yaml:1: "": not a Kubernetes object: it has no kind'),
        (b"kind: Pod", 'file.yaml:1: "": not a Kubernetes object: it has no apiVersion'),
        (b"{apiVersion: v1, kind: [Pod]}", 'file.yaml:1: kind: "a list": not a text'),
        (b"{apiVersion: 1, kind: Pod}", 'file.yaml:1: apiVersion: "1": not a text to YAML; put it in quotes'),
        (b"{apiVersion: apps/v1, kind: Deploymnt}", 'file.yaml:1: kind: "Deploymnt": unknown kind; did you mean "Deployment"?'),
        (b"{apiVersion: v1, kind: Deployment}", 'file.yaml:1: kind: "Deployment": a kind of "apps/v1"; this is "v1"'),
        (
            b"{apiVersion: extensions/v1beta1, kind: Deployment}",
            'file.yaml:1: apiVersion: "extensions/v1beta1": served no more; write "apps/v1"',
        ),
        (b"{apiVersion: v1, kind: Pod}", 'file.yaml:1: "Pod": has no spec'),
        (b"{apiVersion: batch/v1, kind: CronJob, spec: {}}", 'file.yaml:1: spec: "CronJob": has no jobTemplate'),
        (b"{apiVersion: apps/v1, kind: Deployment, spec: {template: []}}", 'file.yaml:1: spec.template: "a list": not a mapping'),
        (b"{apiVersion: v1, kind: Pod, spec: {}}", 'file.yaml:1: spec: "Pod": has no containers'),
        (b"{apiVersion: v1, kind: Pod, spec: {containers: {}}}", 'file.yaml:1: spec.containers: "a mapping": not a list'),
        (b"{apiVersion: v1, kind: Pod, spec: {containers: [x]}}", 'file.yaml:1: spec.containers[0]: "x": not a mapping'),
        (
            b"{apiVersion: v1, kind: Pod, spec: {containers: [{image: x}]}}",
            'file.yaml:1: spec.containers[0]: "": a container without a name',
        ),
        (b"{apiVersion: v1, kind: List, items: [{kind: Pod}]}", 'file.yaml:1: items[0]: "": not a Kubernetes object: it has no apiVersion'),
        (_pod(image="a//b"), None),
        (b"{{ .Values.x }}", None),
        (b"a: &a [*a]", None),
    ],
)
def test_no_manifest(text, said):
    problems = _refused(text)
    assert all("\n" not in problem and problem.startswith("file.yaml") for problem in problems)
    assert said is None or said in problems


def test_other_kinds_are_passed_over():
    text = b"\n---\n".join(
        b"{apiVersion: %s, kind: %s, spec: {containers: 5}}" % pair
        for pair in (
            (b"v1", b"Service"),
            (b"networking.k8s.io/v1", b"Ingress"),
            (b"example.com/v1", b"Pod"),
            (b"apps/v1", b"ControllerRevision"),
        )
    )
    assert manifests.read_pods(text, "file.yaml") == []


CUSTOM = b"""\
apiVersion: argoproj.io/v1alpha1
kind: Rollout
metadata: {name: web}
spec:
  template:
    metadata: {annotations: {a: b}}
    spec:
      containers:
        - {name: web, image: localhost:5000/web:1, securityContext: {capabilities: {add: [NET_RAW]}}}
---
apiVersion: jobset.x-k8s.io/v1alpha2
kind: JobSet
metadata: {name: train}
spec:
  replicatedJobs:
    - template: {spec: {template: {spec: {containers: [{name: driver, image: localhost:5000/web}]}}}}
---
apiVersion: serving.knative.dev/v1
kind: Service
metadata: {name: serve}
spec: {template: {spec: {containers: [{image: localhost:5000/web, volumeMounts: [{name: later, mountPath: /x}]}]}}}
---
apiVersion: example.com/v1
kind: Web
metadata: {name: odd}
spec: {image: "localhost:5000/web:2", containers: {name: not-a-list}, other: {containers: [{name: no-image}]}}
---
apiVersion: kustomize.config.k8s.io/v1beta1
kind: Kustomization
images: [{name: localhost:5000/web}]
"""


def test_pod_templates_of_custom_resources():
    manifest = manifests.parse_manifest(CUSTOM, "file.yaml")
    assert [(pod.kind, pod.name, [one.name for one in pod.containers]) for pod in manifest.pods] == [
        ("Rollout", "web", ["web"]),
        ("JobSet", "train", ["driver"]),
        ("Service", "serve", [""]),
    ]
    rollout, *others = manifest.pods
    assert rollout.metadata.at("annotations", "a").text() == "b"
    assert rollout.containers[0].settings.added[0].value == "cap_net_raw"
    assert not any(pod.problems for pod in manifest.pods)
    assert len(select.find_containers_of_image(manifest.pods, "localhost:5000/web")) == 3


def test_custom_resources_that_name_the_image_elsewhere():
    manifest = manifests.parse_manifest(CUSTOM, "file.yaml")
    assert [field.where for field in manifests.find_mentions(manifest, "localhost:5000/web:1")] == ["file.yaml:26: spec.image"]
    assert list(manifests.find_mentions(manifest, "localhost:5000/other")) == []


def test_problems_of_a_custom_template_count_if_it_is_asked_about():
    text = CUSTOM.replace(b"[NET_RAW]", b"[NET_RWA]")
    (wrong, *others) = manifests.read_pods(text, "file.yaml")
    (problem,) = wrong.problems
    assert problem.startswith('file.yaml:9: spec.template.spec.containers[0].securityContext.capabilities.add[0]: "NET_RWA": unknown')
    assert select.find_container([wrong, *others], "driver").name == "driver"
    with pytest.raises(InputError) as refused:
        select.find_container([wrong, *others], "web")
    assert refused.value.problems == [problem]


def test_lists_of_one_kind():
    assert _refused(b"{apiVersion: extensions/v1beta1, kind: DeploymentList, items: [{}]}") == [
        'file.yaml:1: items[0]: "extensions/v1beta1": served no more; write "apps/v1"'
    ]
    (pod,) = manifests.read_pods(b"{apiVersion: v1, kind: PodList, items: [{spec: {containers: [{name: x}]}}]}", "file.yaml")
    assert (pod.kind, pod.containers[0].name, pod.containers[0].image) == ("Pod", "x", "")


def test_all_problems_at_once():
    text = b"""\
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  template:
    spec:
      privileged: true
      hostUsers: maybe
      securityContext:
        runAsUser: root
        capabilities: {add: [KILL]}
        fsGruop: 5
      initContainers:
        - name: web
          image: Web
          allowPrivilegeEscalation: false
      containers:
        - name: web
          image: web
          command: serve
          volumeMounts:
            - {name: dta, mountPath: /data}
            - {name: data}
      volumes:
        - {name: data, emptyDir: {}}
---
apiVersion: v1
kind: Pdo
"""
    assert sorted(_refused(text), key=lambda said: int(said.split(":")[1])) == [
        'file.yaml:7: spec.template.spec.privileged: "privileged": belongs into securityContext; Kubernetes ignores it here',
        'file.yaml:8: spec.template.spec.hostUsers: "maybe": neither true nor false',
        'file.yaml:10: spec.template.spec.securityContext.runAsUser: "root": not a whole number',
        'file.yaml:11: spec.template.spec.securityContext.capabilities: "capabilities": only a container has it; '
        "move it to the container's securityContext",
        'file.yaml:12: spec.template.spec.securityContext.fsGruop: "fsGruop": unknown field; did you mean "fsGroup"?',
        'file.yaml:15: spec.template.spec.initContainers[0].image: "Web": invalid image name; '
        "write it as registry.example/path:tag, in lower case",
        'file.yaml:16: spec.template.spec.initContainers[0].allowPrivilegeEscalation: "allowPrivilegeEscalation": '
        "belongs into securityContext; Kubernetes ignores it here",
        'file.yaml:18: spec.template.spec.containers[0]: "web": a second container of this name',
        'file.yaml:20: spec.template.spec.containers[0].command: "serve": not a list',
        'file.yaml:22: spec.template.spec.containers[0].volumeMounts[0].name: "dta": the pod has no such volume; did you mean "data"?',
        'file.yaml:23: spec.template.spec.containers[0].volumeMounts[1]: "data": a mount without mountPath',
        'file.yaml:28: kind: "Pdo": unknown kind; did you mean "Pod"?',
    ]


def test_container_level_wins():
    text = b"""\
apiVersion: v1
kind: Pod
spec:
  securityContext: {runAsUser: 0, runAsGroup: 5, runAsNonRoot: false}
  containers:
    - {name: a, securityContext: {runAsUser: 7, runAsNonRoot: true}}
    - {name: b, securityContext: {runAsUser: null}}
  ephemeralContainers:
    - {name: debug, securityContext: {runAsGroup: 6}}
"""
    (pod,) = manifests.read_pods(text, "file.yaml")
    assert [one.settings.user.value for one in pod.containers] == ["7:5", "0:5", "0:6"]
    assert [one.settings.run_as_non_root.value for one in pod.containers] == [True, False, False]
    assert [one.section for one in pod.containers] == ["containers", "containers", "ephemeralContainers"]


def test_runtimes_of_nodes():
    (pod,) = manifests.read_pods(_pod(), "file.yaml", "cri-o")
    settings = pod.containers[0].settings
    assert compute_initial_process(settings) == compute_initial_process(settings, parse_engine("cri-o"))
    assert compute_initial_process(settings).bounding != compute_initial_process(settings, Engine("containerd")).bounding


SEVERAL = b"""\
apiVersion: v1
kind: Pod
metadata: {name: a}
spec:
  containers:
    - {name: web, image: image}
    - {name: side, image: image, securityContext: {capabilities: {add: [NET_RWA]}}}
---
apiVersion: v1
kind: Pod
metadata: {name: b}
spec: {hostUsers: maybe, containers: [{name: other, image: image}]}
---
apiVersion: v1
kind: Pood
---
{apiVersion: v1, kind: List, items: [{apiVersion: v1, kind: Pod, spec: {containers: [{name: last}]}}, {kind: Pod}]}
"""
SIDE = (
    'file.yaml:7: spec.containers[1].securityContext.capabilities.add[0]: "NET_RWA": unknown capability; did you mean "NET_RAW"?'
)
USERS = 'file.yaml:12: spec.hostUsers: "maybe": neither true nor false'
KIND = 'file.yaml:15: kind: "Pood": unknown kind; did you mean "Pod"?'
ITEM = 'file.yaml:17: items[1]: "": not a Kubernetes object: it has no apiVersion'


def _find(name: str | None, text: bytes = SEVERAL) -> manifests.Container:
    return select.select_container(manifests.parse_manifest(text, "file.yaml", partial=True), name, "file.yaml")


def _noted(container: manifests.Container) -> list[tuple[str, str]]:
    return [tuple(note.split(": ", 1)) for note in container.settings.notes]


def test_only_the_container_that_is_asked_about_has_to_be_right():
    other = "not right in the same file, and not judged here"
    here = "does not start, in the same pod"
    assert _noted(_find("web")) == [(here, SIDE), (other, KIND), (other, ITEM), (other, USERS)]
    assert _noted(_find("Pod//last")) == [(other, KIND), (other, ITEM), (other, SIDE), (other, USERS)]
    for name, said in (("side", [SIDE]), ("other", [USERS])):
        with pytest.raises(InputError) as refused:
            _find(name)
        assert refused.value.problems == said
    with pytest.raises(InputError) as refused:
        _find(None)
    assert refused.value.problems == [
        'manifest: "file.yaml": there are several containers; write container, one of "Pod/a/web", "Pod/a/side", "Pod/b/other", "Pod//last"'
    ]
    # It may be in what could not be read.
    with pytest.raises(InputError) as refused:
        _find("lost")
    assert refused.value.problems == [
        'container: "lost": no container of this name; did you mean "last"?',
        KIND,
        ITEM,
        SIDE,
        USERS,
    ]


def test_the_only_container():
    assert _find(None, _pod()).name == "x"
    assert _find(None, _pod()).settings.notes == ()
    with pytest.raises(InputError) as refused:
        _find(None, b"{apiVersion: v1, kind: Service}")
    assert refused.value.problems == ['manifest: "file.yaml": no container in it']
    with pytest.raises(InputError) as refused:
        _find(None, b"{apiVersion: v1, kind: Pod}")
    assert refused.value.problems == ['file.yaml:1: "Pod": has no spec']


def test_all_problems_of_several_objects():
    assert _refused(SEVERAL) == [SIDE, USERS, KIND, ITEM]
