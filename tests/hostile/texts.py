"""Makes hostile texts of at most 1 MiB: manifests of Kubernetes, Compose files and .ko.yaml files."""

from __future__ import annotations

import json

MIB = 1 << 20
_POD = "apiVersion: v1\nkind: Pod\nmetadata: {name: p}\nspec:\n  containers:\n"


def _laughs(depth: int = 30) -> str:
    lines = ["a0: &a0 [x, x]"] + [f"a{at}: &a{at} [*a{at - 1}, *a{at - 1}]" for at in range(1, depth)]
    return "\n".join(lines) + "\n"


def _many_aliases() -> str:
    """Returns many anchors that are open at once, with many aliases inside; a reader may compare each with each."""
    opened = "".join(f"&a{at} [" for at in range(99))
    return "x: " + opened + ", ".join(["*b"] * 200_000) + "]" * 99


def _anchors(count: int = 45_000) -> str:
    return "x:\n" + "".join(f"- &a{at} v\n- *a{at}\n" for at in range(count))


def _merges(count: int = 400) -> str:
    """Returns a chain of merge keys, each of which adds a key to all keys before it."""
    lines = ["m0: &m0 {k0: 1}"] + [f"m{at}: &m{at} {{<<: *m{at - 1}, k{at}: 1}}" for at in range(1, count)]
    return "\n".join(lines) + "\n"


def _wide_merge() -> str:
    """Returns a mapping of many keys that is merged many times."""
    keys = "".join(f"  k{at}: 1\n" for at in range(20_000))
    return f"a: &a\n{keys}" + "".join(f"m{at}: {{<<: *a}}\n" for at in range(30_000))


YAML: dict[str, str] = {
    "laughs": _laughs(),
    "many_aliases": _many_aliases(),
    "anchors": _anchors(),
    "merges": _merges(),
    "long_merges": _merges(20_000),
    "wide_merge": _wide_merge(),
    "deep_flow": "a: " + "[" * 400_000,
    "deep_mappings": "a: " + "{a: " * 200_000,
    "deep_block": "".join(" " * at + "a:\n" for at in range(1400)),
    "deep_sequences": "- " * 500_000,
    "long_scalar": "a: " + "x" * (MIB - 8),
    "long_quoted": 'a: "' + "\\x41" * 260_000 + '"',
    "long_folded": "a: >\n" + "  x\n" * 200_000,
    "long_plain_lines": "a:\n" + "  x\n" * 200_000,
    "long_key": "x" * 200_000 + ": 1",
    "long_number": "a: " + "9" * 900_000,
    "underscores": "a: 0" + "_" * 900_000,
    "documents": "---\n" * 250_000,
    "document_mappings": "---\na: b\n" * 100_000,
    "comments": "# x\n" * 250_000,
    "keys": "".join(f"k{at}: v\n" for at in range(80_000)),
    "same_keys": "k: v\n" * 200_000,
    "flow_items": "a: [" + "a," * 500_000 + "]",
    "tags": "".join(f"- !t{at} x\n" for at in range(70_000)),
    "question_marks": "? " * 500_000,
    "tabs": "a:\t" + "\t" * 900_000 + "b",
    "directives": "%YAML 1.1\n" * 90_000 + "---\na: b\n",
    "nul": "a: b\0c\n",
    "json_deep": '{"a":' * 190_000,
    "json_large": json.dumps({"a": list(range(120_000))}),
}


def _pods(count: int) -> str:
    return "---\n".join(
        f"apiVersion: v1\nkind: Pod\nmetadata: {{name: p{at}}}\nspec: {{containers: [{{name: a, image: b}}]}}\n"
        for at in range(count)
    )


def _custom(templates: int) -> str:
    return "apiVersion: a.b/v1\nkind: X\nspec:\n" + "".join(
        f"  t{at}: {{containers: [{{image: b}}]}}\n" for at in range(templates)
    )


KUBERNETES: dict[str, str] = {
    **YAML,
    "pods": _pods(9_000),
    "containers": _POD + "".join(f"  - {{name: c{at}, image: b}}\n" for at in range(30_000)),
    "same_containers": _POD + "  - {name: c, image: b}\n" * 30_000,
    "capabilities": _POD
    + "  - name: c\n    image: b\n    securityContext:\n      capabilities:\n        add:\n"
    + "".join(f"        - X{at}\n" for at in range(60_000)),
    "volume_mounts": _POD
    + "  - name: c\n    image: b\n    volumeMounts:\n"
    + "".join(f"    - {{name: v{at}, mountPath: /a{at}}}\n" for at in range(20_000)),
    "templates": _custom(20_000),
    "deep_templates": "apiVersion: a.b/v1\nkind: X\nspec: " + "{a: " * 90 + "{containers: [{image: b}]}" + "}" * 90,
    "long_kind": f"apiVersion: v1\nkind: {'Pod' * 300_000}\n",
    "long_image": _POD + f"  - {{name: c, image: {'a/' * 400_000}b}}\n",
    "lists": "apiVersion: v1\nkind: List\nitems:\n" + "- {apiVersion: v1, kind: List, items: []}\n" * 20_000,
    "aliased_pods": "apiVersion: v1\nkind: List\nitems:\n- &p {apiVersion: v1, kind: Pod, metadata: {name: p}, spec: {containers: [{name: a, image: b}]}}\n"
    + "- *p\n" * 150_000,
}


def _service(text: str) -> str:
    return f"services:\n  web:\n    image: b\n{text}"


def _extends(count: int) -> str:
    services = "".join(f"  s{at}: {{extends: s{at + 1}}}\n" for at in range(count))
    return f"services:\n  web: {{extends: s0}}\n{services}  s{count}: {{image: b}}\n"


COMPOSE: dict[str, str] = {
    **YAML,
    "extends": _extends(20_000),
    "extends_large": "services:\n  web: {extends: s0}\n  s0: {extends: s1}\n"
    + "".join(f"  t{at}: {{image: b}}\n" for at in range(40_000)),
    "no_such_service": "services:\n" + "".join(f"  webb{at}: {{image: b}}\n" for at in range(40_000)),
    "unknown_keys": _service("".join(f"    key{at}: b\n" for at in range(60_000))),
    "nested_variables": _service("    user: " + "${A:-" * 150_000 + "}" * 150_000 + "\n"),
    "open_variables": _service("    user: " + "${A:-" * 180_000 + "\n"),
    "many_variables": _service("    user: " + "${A:-1}" * 130_000 + "\n"),
    "many_commands": _service("    command: " + "a " * 450_000 + "\n"),
    "open_quote": _service("    command: '''" + "a " * 450_000 + "'\n"),
    "many_volumes": _service("    volumes:\n" + "".join(f"    - a:/v{at}\n" for at in range(50_000))),
    "many_cap_add": _service("    cap_add:\n" + "    - NET_RAW\n" * 60_000),
    "many_unknown_caps": _service("    cap_add:\n" + "".join(f"    - X{at}\n" for at in range(60_000))),
    "security_options": _service("    security_opt:\n" + "    - no-new-privileges:true\n" * 30_000),
}

_BUILDS = "builds:\n- id: a\n"

KO: dict[str, str] = {
    **YAML,
    "many_builds": "builds:\n" + "".join(f"- {{id: b{at}}}\n" for at in range(15_000)),
    "same_builds": "builds:\n" + "- {id: a}\n" * 15_000,
    "many_capabilities": _BUILDS + "  linux_capabilities:\n" + "  - net_raw\n" * 15_000,
    "many_unknown": _BUILDS + "  linux_capabilities:\n" + "  - nope\n" * 15_000,
    "many_clauses": _BUILDS + "  linux_capabilities: " + "cap_net_raw=p " * 18_000 + "\n",
    "many_operators": _BUILDS + "  linux_capabilities: all" + "+e-e" * 60_000 + "\n",
    "many_names": _BUILDS + "  linux_capabilities: " + "cap_net_raw," * 20_000 + "cap_bpf=p\n",
    "many_fields": _BUILDS + "".join(f"  linux_capabilitie{at}: b\n" for at in range(10_000)),
    "build_merges": "\n".join(["m0: &m0 {k0: 1}"] + [f"m{at}: &m{at} {{<<: [*m{at - 1}, *m{at - 1}]}}" for at in range(1, 6_000)])
    + "\nbuilds:\n- {<<: *m5999}\n",
}
