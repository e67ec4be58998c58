"""Reads the field `linux_capabilities` of a build in a `.ko.yaml`."""

from __future__ import annotations

from typing import NamedTuple

from rules_setcap.diagnostics import limits
from rules_setcap.diagnostics.errors import InputError, quote
from rules_setcap.diagnostics.files import open_regular
from rules_setcap.diagnostics.suggestions import find_closest
from rules_setcap.documents.yaml_documents import Field, parse_documents
from rules_setcap.ko.ko_text import has_operator, split_terms

FIELD = "linux_capabilities"
_COMPARED_FIELDS = 1000  # A build of ko has some 15.


class BuildCapabilities(NamedTuple):
    """The capabilities of a build.

    Attributes:
      where: the file, line, build and field, for messages.
      value: the value of the field: a string or a list of strings.
    """

    where: str
    value: str | list[str]

    @property
    def words(self) -> list[str]:
        """The value as `linux_capabilities` of an image takes it. A string is a list of names, or one text of clauses."""
        if isinstance(self.value, list):
            return self.value
        terms = split_terms(self.value)
        # cap_from_text(3) has no clause without an operator, so names alone can mean nothing else.
        is_list_of_names = not any(has_operator(term) for term in terms)
        return terms if is_list_of_names else [self.value]

    @property
    def terms(self) -> list[str]:
        """The value as ko reads it. A string is split at spaces."""
        return self.value if isinstance(self.value, list) else split_terms(self.value)


def read_config(path: str, name: str, build: str) -> BuildCapabilities:
    """Reads the capabilities of a build.

    Args:
      path: the path of the `.ko.yaml`.
      name: its name, for messages.
      build: the `id` of the build; "" for the only one. As in ko, builds without an `id` are called `#0`, `#1` and so on.

    Raises:
      InputError: the file is not valid, or has no such build or field.
      OSError: the file cannot be read.
    """
    with open_regular(path) as file:
        data = file.read(limits.KO_CONFIG + 1)
    if len(data) > limits.KO_CONFIG:
        raise InputError([f"{name}: is too large for a configuration of ko (limit KO_CONFIG: {limits.KO_CONFIG} bytes)"])
    documents = parse_documents(data, name)
    if len(documents) > 1:
        raise InputError([f"{name}: has more than one YAML document; write one, without ---"])
    if not documents or not isinstance(documents[0].node.value, dict):
        raise InputError([f"{name}: not a configuration of ko, which is a YAML mapping with builds"])
    (document,) = documents
    _raise_problems(document)
    build_id, fields = _find_build(document, build)
    return _read_capabilities(document, build_id, fields)


def _find_build(document: Field, build: str) -> tuple[str, Field]:
    """Returns the `id` of a build, and the build."""
    name = document.file
    builds = document.get("builds")
    items = builds.items() if builds else []
    _raise_problems(document)
    if not items:
        raise InputError([f"{name}: has no builds"])
    by_id: dict[str, list[Field]] = {}
    for number, item in enumerate(items):
        field = item.get("id")
        by_id.setdefault((field.scalar() if field else None) or f"#{number}", []).append(item)
    _raise_problems(document)
    if not build and len(items) > 1:
        raise InputError([f"{name}: has {len(items)} builds; choose one: build = {' or '.join(_describe_builds(by_id))}"])
    chosen = build or next(iter(by_id))
    if chosen not in by_id:
        build_id = _find_id_by_main(chosen, by_id)
        if build_id is None:
            what = f"it has {', '.join(_describe_builds(by_id))}"
        else:
            what = f"build must be an id: write {quote(build_id)} for the build with this main"
        raise InputError([f"{name}: has no build {quote(chosen)}; {what}"])
    if len(by_id[chosen]) > 1:
        lines = " and ".join(str(item.node.line) for item in by_id[chosen])
        raise InputError([f"{name}: {len(by_id[chosen])} builds have the id {quote(chosen)}, in lines {lines}"])
    return chosen, by_id[chosen][0]


def _read_main(build: Field) -> str:
    """Returns the `main` of a build; "" if it is not a text."""
    field = build.get("main")
    return field.node.value if field and isinstance(field.node.value, str) else ""


def _describe_builds(by_id: dict[str, list[Field]]) -> list[str]:
    """Returns each `id` in quotes; for a build without an `id` also its `main`, by which users know it."""
    descriptions = []
    for build_id, (build, *_) in by_id.items():
        main = "" if build.get("id") else _read_main(build)
        descriptions.append(f"{quote(build_id)} (main: {quote(main)})" if main else quote(build_id))
    return descriptions


def _find_id_by_main(text: str, by_id: dict[str, list[Field]]) -> str | None:
    """Returns the `id` of the only build whose `main` is a text, or is the end of it: users may write an import path."""
    path = "/" + text.removeprefix("ko://").removeprefix("./").strip("/")
    mains = {build_id: _read_main(builds[0]).removeprefix("./").strip("/") for build_id, builds in by_id.items()}
    matches = [build_id for build_id, main in mains.items() if main not in ("", ".") and path.endswith("/" + main)]
    return matches[0] if len(matches) == 1 else None


def _read_capabilities(document: Field, build_id: str, build: Field) -> BuildCapabilities:
    field = build.get(FIELD)
    if field is None:
        near = find_closest(FIELD, list(build.fields())[:_COMPARED_FIELDS])
        if near:
            what = f"the field {quote(near)} is probably misspelt"
        elif document.get(FIELD):
            what = f"move the {FIELD} of the top level into the build"
        else:
            what = f"write {FIELD}: [] for no capabilities, or remove ko_capabilities from the BUILD file"
        raise InputError([f"{document.file}: build {quote(build_id)}: has no {FIELD}; {what}"])
    value: str | list[str] | None
    if isinstance(field.node.value, dict):
        field.problem("neither a text nor a list of texts")
        value = None
    elif isinstance(field.node.value, list):
        value = [item.text() or "" for item in field.items()]
    else:
        value = field.text()
    _raise_problems(document)
    return BuildCapabilities(f"{document.file}:{field.node.line}: build {quote(build_id)}: {FIELD}", value or [])


def _raise_problems(document: Field) -> None:
    if document.problems:
        raise InputError(document.problems)
