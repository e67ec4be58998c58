"""The pages of docs/reference are what the docstrings say."""

from __future__ import annotations

import difflib

import pytest
from pages import COMMAND, DIRECTORY, make_pages

PAGES = make_pages()


def test_the_directory_has_a_page_for_each_public_file():
    names = sorted(path.name for path in DIRECTORY.glob("*.md"))
    assert names == sorted(PAGES), f"run {COMMAND}"


@pytest.mark.parametrize("name", PAGES)
def test_pages_have_only_ascii_text(name: str):
    """Bazel encodes other characters of docstrings twice, so that a page would show them wrongly."""
    lines = [line for line in PAGES[name].splitlines() if not line.isascii()]
    assert not lines, f'write "..." and the like in the docstrings of {name}'


@pytest.mark.parametrize("name", PAGES)
def test_pages_are_up_to_date(name: str):
    path = DIRECTORY / name
    current = path.read_text() if path.exists() else ""
    if current != PAGES[name]:
        difference = "".join(difflib.unified_diff(current.splitlines(True), PAGES[name].splitlines(True), str(path), "generated"))
        pytest.fail(f"{difference}\n{path} is out of date; run {COMMAND}", pytrace=False)
