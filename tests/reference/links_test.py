"""Every link of a page in the source tree leads to a file, and to a heading of it."""

from __future__ import annotations

import collections
import pathlib
import re
import subprocess
import urllib.parse

import pytest

# The source tree, which is not an input of the test: `tags = ["external"]` runs it every time.
ROOT = pathlib.Path("pyproject.toml").resolve().parent
LISTED = subprocess.run(["git", "ls-files", "-z", "*.md"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
PAGES = [ROOT / name for name in LISTED.split("\0") if name]
CODE_BLOCK = re.compile(r"^ *(```+|~~~+).*?^ *\1 *$|^(?: {4}|\t).*?$", re.MULTILINE | re.DOTALL)
CODE = re.compile(r"(`+)(?!`).+?(?<!`)\1(?!`)", re.DOTALL)
LINK = re.compile(r"\]\(\s*<?([^)<>\s]+)>?(?:\s+\"[^\"]*\")?\s*\)|<(?:a|img)\b[^>]*?\b(?:href|src)=\"([^\"]*)\"")
HEADING = re.compile(r"^#{1,6} +(.*?)(?: +#+)? *$", re.MULTILINE)
ANCHOR = re.compile(r"<\w+[^>]*? (?:id|name)=\"([^\"]*)\"")


def list_links(text: str) -> list[str]:
    """Returns the targets of the links and pictures of a page."""
    text = CODE.sub("code", CODE_BLOCK.sub("", text))
    return [target or html_target for target, html_target in LINK.findall(text)]


def list_anchors(text: str) -> set[str]:
    """Returns the anchors of a page: those of its headings, as GitHub makes them, and those that it sets itself."""
    text = CODE_BLOCK.sub("", text)
    anchors = set(ANCHOR.findall(text))
    counts: collections.Counter[str] = collections.Counter()
    for heading in HEADING.findall(text):
        title = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading)
        anchor = re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")
        anchors.add(f"{anchor}-{counts[anchor]}" if counts[anchor] else anchor)
        counts[anchor] += 1
    return anchors


def find_fault(page: pathlib.Path, link: str) -> str:
    """Returns why a link does not lead anywhere; "" if it does, or leads to another site."""
    url = urllib.parse.urlsplit(link)
    if url.scheme:
        return ""
    if url.path.startswith("/"):
        return f"{link}: must be relative to the directory of the page"
    path = page.parent / urllib.parse.unquote(url.path) if url.path else page
    if not path.exists():
        return f"{link}: no such file"
    if url.fragment and path.suffix == ".md" and url.fragment not in list_anchors(path.read_text()):
        return f"{link}: the page has no such heading"
    return ""


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: pathlib.Path):
    faults = [fault for link in list_links(page.read_text()) if (fault := find_fault(page, link))]
    assert not faults, "\n".join(faults)


def test_links_are_found():
    text = 'A [page](a.md#b) ![picture](p.svg) <a href="c.md">c</a> `[code](no)`\n\n    [block](no)\n\n```\n[fence](no)\n```\n[x](y.md "t")\n'
    assert list_links(text) == ["a.md#b", "p.svg", "c.md", "y.md"]


def test_anchors_are_those_of_github():
    text = '# One `two`: three_four!\n## Same\n## Same\n<a id="own"></a>\n```\n# comment\n```\n### [Link](x.md) - end\n'
    assert list_anchors(text) == {"one-two-three_four", "same", "same-1", "own", "link---end"}
