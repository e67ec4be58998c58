"""Which image a container's `image` names."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rules_setcap.containers.kubernetes import images

DIGEST = "sha256:" + "a" * 64


@pytest.mark.parametrize(
    "text, expected",
    [
        ("nginx", ("docker.io/library/nginx", "", "")),
        ("index.docker.io/nginx:1", ("docker.io/library/nginx", "1", "")),
        ("grafana/grafana", ("docker.io/grafana/grafana", "", "")),
        ("localhost/x", ("localhost/x", "", "")),
        ("localhost:5000/x/y__z:v1.0_-", ("localhost:5000/x/y__z", "v1.0_-", "")),
        (f"registry.example/x:1@{DIGEST}", ("registry.example/x", "1", DIGEST)),
        ("[::1]:5000/x", ("[::1]:5000/x", "", "")),
        ("REGISTRY/x", ("REGISTRY/x", "", "")),
    ],
)
def test_reference(text, expected):
    found = images.reference(text)
    assert (found.repository, found.tag, found.digest) == expected


@pytest.mark.parametrize(
    "text",
    ["", "Nginx", "x:", "x:y z", "x@sha256:1", f"x@{DIGEST}0", "x@md5:" + "a" * 32, "a//b", "/a", "a/", "-a", "a_-b", "x" * 300, "ä"],
)
def test_no_reference(text):
    with pytest.raises(ValueError, match="invalid image name"):
        images.reference(text)


@pytest.mark.parametrize(
    "image, wanted, same",
    [
        ("nginx:1.27", "docker.io/library/nginx", True),
        ("nginx:1.27", "nginx:1.27", True),
        ("nginx:1.27", "nginx:1", False),
        ("nginx", "nginx:latest", True),
        (f"nginx@{DIGEST}", "nginx:latest", False),
        (f"nginx:1@{DIGEST}", "nginx:1", True),
        (f"nginx:1@{DIGEST}", f"nginx@{DIGEST}", True),
        (f"nginx:1@{DIGEST}", "nginx@sha256:" + "b" * 64, False),
        ("nginx", f"nginx@{DIGEST}", False),
        ("registry.example/nginx", "nginx", False),
    ],
)
def test_names(image, wanted, same):
    assert images.names(image, wanted) is same


@given(
    st.one_of(st.text(max_size=20), st.lists(st.sampled_from(["a", "/", ":", "@", ".", "-", "_", "A", DIGEST]), max_size=9).map("".join))
)
def test_any_text(text):
    try:
        found = images.reference(text)
    except ValueError:
        return
    again = found.repository + (":" + found.tag if found.tag else "") + ("@" + found.digest if found.digest else "")
    assert images.reference(again) == found and images.names(text, again)
