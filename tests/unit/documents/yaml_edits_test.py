"""Scalars of a YAML file are replaced, and no other byte of it changes."""

from __future__ import annotations

import random

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rules_setcap.diagnostics.errors import InputError
from rules_setcap.documents import yaml_documents, yaml_edits, yaml_loader

OLD, NEW = "registry.example/app", "registry.example:5000/team/app@sha256:0123"


class _PureLoader(yaml.SafeLoader):
    """The loader where PyYAML has no libyaml."""

    resolve = yaml_loader.Loader.resolve


@pytest.fixture(params=["libyaml", "pure"], autouse=True)
def loader(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs each test with both loaders."""
    if request.param == "pure":
        for module in (yaml_documents, yaml_edits, yaml_loader):
            monkeypatch.setattr(module, "Loader", _PureLoader)
    else:
        assert issubclass(yaml_loader.Loader, yaml.CSafeLoader)


def _find_nodes(node: yaml_documents.Node) -> list[yaml_documents.Node]:
    """Returns the scalars in a node."""
    if isinstance(node.value, str):
        return [node]
    members = node.value.values() if isinstance(node.value, dict) else node.value
    return [scalar for member in members for scalar in _find_nodes(member)]


def _replace(data: bytes, replacements: dict[str, str]) -> bytes:
    """Replaces the scalars that have given values."""
    fields = yaml_documents.parse_documents(data, "file.yaml", tags=["!tag"])
    nodes = [node for field in fields for node in _find_nodes(field.node)]
    return yaml_edits.replace_scalars(data, {node.span: replacements[node.value] for node in nodes if node.value in replacements})


@pytest.mark.parametrize(
    "before, after",
    [
        ("a: OLD", "a: NEW"),
        ("a: OLD # OLD\n", "a: NEW # OLD\n"),
        ("a:   OLD   \nb: x\n", "a:   NEW   \nb: x\n"),
        ("a: 'OLD'\n", "a: 'NEW'\n"),
        ('{"a": "OLD", "OLD": 1}', '{"a": "NEW", "OLD": 1}'),
        ('a: "registry.example\\/app"\n', 'a: "NEW"\n'),
        ('a: "registry.\\x65xample/\\\n   app"\n', 'a: "NEW"\n'),
        ("a: |-\n  OLD\nb: OLDER\n", "a: |-\n  NEW\nb: OLDER\n"),
        ("a: >- # OLD\n    OLD\n\n# OLD\nb: x\n", "a: >- # OLD\n    NEW\n\n# OLD\nb: x\n"),
        ("a: |2-\n  OLD\n", "a: |2-\n  NEW\n"),
        ("a: &x OLD\nb: *x\n", "a: &x NEW\nb: *x\n"),
        ("a: !!str &x OLD\n", "a: !!str &x NEW\n"),
        ("a: !tag 'OLD'\n", "a: !tag 'NEW'\n"),
        ("a: &x # OLD\n  OLD\n", "a: &x # OLD\n  NEW\n"),
        ("a:\n  OLD\n", "a:\n  NEW\n"),
        ("? a\n: OLD\n", "? a\n: NEW\n"),
        ("{a: OLD,b: [OLD,'OLD' , OLD]}\n", "{a: NEW,b: [NEW,'NEW' , NEW]}\n"),
        ("- OLD\n-   - OLD\n", "- NEW\n-   - NEW\n"),
        ("%YAML 1.1\n---\na: OLD\n...\n---\nb: OLD\n", "%YAML 1.1\n---\na: NEW\n...\n---\nb: NEW\n"),
        ("a: OLD\r\nb: 'OLD'\r\n# x\r\n", "a: NEW\r\nb: 'NEW'\r\n# x\r\n"),
        ("a: OLD\rb: OLD\r", "a: NEW\rb: NEW\r"),
        ("\ufeffa: OLD\n", "\ufeffa: NEW\n"),
        ("\ufeff\ufeffa: OLD\n", "\ufeff\ufeffa: NEW\n"),
        ("é: 'ü\U0001f600' # \u2028\na: OLD # \x85\n", "é: 'ü\U0001f600' # \u2028\na: NEW # \x85\n"),
    ],
)
def test_only_the_scalar_changes(before: str, after: str):
    assert _replace(before.replace("OLD", OLD).encode(), {OLD: NEW}) == after.replace("OLD", OLD).replace("NEW", NEW).encode()


def test_a_plain_scalar_gets_quotes_if_the_new_value_needs_them():
    assert _replace(b"{a: registry.example/app}", {OLD: "[::1]:5000/app@sha256:0123"}) == b'{a: "[::1]:5000/app@sha256:0123"}'


SEED = random.randrange(1 << 32)
STYLES = {
    "plain": "{}",
    "single": "'{}'",
    "double": '"{}"',
    "anchor": "&anchor{number} {}",
    "tag": "!!str {}",
    "both": "!tag &anchor{number} '{}'",
}


class _Writer:
    """Writes random documents twice: as they are, and as they are to be after the replacement."""

    def __init__(self, generator: random.Random) -> None:
        self._random = generator
        self._count = 0
        self.replacements: dict[str, str] = {}

    def write_value(self, indent: str, depth: int) -> tuple[str, str]:
        """Returns a value, which begins after a key or a dash; its lines end with line feeds."""
        kind = self._random.choice(["scalar"] * 3 + ["block", "flow", "mapping", "sequence"])
        if kind == "block":
            style = self._random.choice(["|-", ">-", "|", ">+"])
            return self._write_leaf(f" {style}{self._comment()}\n{indent}  {{}}\n", is_replaced=style in ("|-", ">-"))
        if kind == "flow":
            pieces = [self._write_leaf(STYLES[self._random.choice(["plain", "single", "double"])]) for _ in range(3)]
            before, after = (", ".join(texts) for texts in zip(*pieces, strict=True))
            return f" [{before}]\n", f" [{after}]\n"
        if kind == "scalar" or depth > 3:
            return self._write_leaf(" " + STYLES[self._random.choice(list(STYLES))] + self._comment() + "\n")
        lines = ["\n", "\n"]
        for number in range(self._random.randint(1, 4)):
            head = f"{indent}  - x:" if kind == "sequence" else f"{indent}  k{number}:"
            value = self.write_value(indent + ("    " if kind == "sequence" else "  "), depth + 1)
            comment = self._comment(line=True)
            lines = [line + head + part + comment for line, part in zip(lines, value, strict=True)]
        return lines[0], lines[1]

    def _write_leaf(self, form: str, *, is_replaced: bool = True) -> tuple[str, str]:
        self._count += 1
        old = f"registry.example/old{self._count:05}"
        new = old
        if is_replaced and self._random.random() < 0.7:
            new = self.replacements[old] = f"registry.example:5000/new{self._count}@sha256:{self._random.getrandbits(64):x}"
        return form.format(old, number=self._count), form.format(new, number=self._count)

    def _comment(self, *, line: bool = False) -> str:
        """Returns a comment that has the last value; often an empty one."""
        if self._random.random() < 0.7:
            return ""
        text = f"# registry.example/old{self._count:05} é\U0001f600"
        return f"{text}\n" if line else f"  {text}"


def test_random_documents_change_in_nothing_else():
    print(f"seed {SEED}")
    generator = random.Random(SEED)
    for _ in range(300):
        writer = _Writer(generator)
        parts = [writer.write_value("", 0) for _ in range(generator.randint(1, 4))]
        before, after = ("".join(f"---\nroot:{text}" for text in texts) for texts in zip(*parts, strict=True))
        newline, bom = generator.choice(["\n", "\r\n"]), generator.choice(["", "\ufeff"])
        encoded, expected = ((bom + text.replace("\n", newline)).encode() for text in (before, after))
        replaced = _replace(encoded, writer.replacements)
        assert replaced == expected, f"seed {SEED}"
        assert _list_events(replaced, {}) == _list_events(encoded, writer.replacements), f"seed {SEED}"


PIECES = [
    *("a", "- ", "-", ": ", ":", "? ", "\n", "\n  ", "\r\n", "\r", " ", "  ", "'", '"', "''", "\\", "&x ", "&y", "*x", "!tag ", "!!str "),
    *("|-\n ", "|2-\n  ", ">-\n ", "|\n ", "{", "}", "[", "]", ",", "#", " # ", "---\n", "...\n", "%YAML 1.1\n", "\ufeff", "\x85", "é", "\t"),
    *(OLD, f"k: {OLD}\n", f"k: '{OLD}'\n", f"- {OLD}\n"),
]  # fmt: skip


@settings(max_examples=2000, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(st.sampled_from(PIECES), max_size=20).map("".join))
def test_whatever_is_read_keeps_its_other_values(text: str):
    """Keys are not replaced, nor is what a second key of the same name has, which is a problem of the document."""
    try:
        fields = yaml_documents.parse_documents(text.encode(), "file.yaml")
    except InputError:
        return
    spans = {node.span for field in fields for node in _find_nodes(field.node) if node.value == OLD}
    before = _list_events(text.encode(), {})
    after = _list_events(yaml_edits.replace_scalars(text.encode(), dict.fromkeys(spans, NEW)), {})
    differing = [(old, new) for old, new in zip(before, after, strict=True) if old != new]
    assert len(differing) == len(spans)
    assert all((old[0], OLD, *old[2:]) == old and (old[0], NEW, *old[2:]) == new for old, new in differing)


def _list_events(data: bytes, replacements: dict[str, str]) -> list[tuple[object, ...]]:
    """Returns what a parser reads, with some values replaced."""
    events = []
    for event in yaml.parse(data.decode().lstrip("\ufeff"), Loader=yaml_edits.Loader):
        value = getattr(event, "value", None)
        details = [getattr(event, name, None) for name in ("anchor", "tag", "style")]
        events.append((type(event), replacements.get(value, value), *details))
    return events
