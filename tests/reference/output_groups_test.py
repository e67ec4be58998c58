"""The documentation of a rule lists its output groups."""

from __future__ import annotations

import json
import pathlib
import re

import pytest
from extracts import get_field, parse_message

GROUPS = json.loads(pathlib.Path("tests/reference/output_groups.json").read_text())
DOCUMENTATION = {
    get_field(rule, "rule_name"): get_field(rule, "doc_string")
    for path in pathlib.Path("tests/reference").glob("*.textproto")
    for rule in parse_message(path.read_text()).get("rule_info", [])
}


def list_documented_groups(documentation: str) -> list[str]:
    """Returns the names in the list of output groups."""
    return re.findall(r"^- `(\w+)`", documentation.partition("Output groups:\n\n")[2], re.MULTILINE)


@pytest.mark.parametrize("rule", GROUPS)
def test_every_output_group_is_documented(rule: str):
    # Names that begin with "_" are Bazel's: it also adds the validation actions of the dependencies.
    groups = [name for name in GROUPS[rule] if not name.startswith("_")]
    assert sorted(set(list_documented_groups(DOCUMENTATION[rule])) - {"_validation"}) == groups


def test_every_rule_with_output_groups_is_tested():
    assert sorted(GROUPS) == sorted(rule for rule, text in DOCUMENTATION.items() if "utput group" in text)
