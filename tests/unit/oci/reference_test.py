"""The names of images in containers are parsed and compared as container runtimes do."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rules_setcap.oci.reference import check_repository, complete_image_name, names_same_image, parse_reference

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
def test_a_name_is_completed_as_docker_completes_it(text, expected):
    assert parse_reference(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Nginx",
        "x:",
        "x:y z",
        "x@sha256:1",
        f"x@{DIGEST}0",
        "x@md5:" + "a" * 32,
        "a//b",
        "/a",
        "a/",
        "-a",
        "a_-b",
        "x" * 300,
        "ä",
    ],
)
def test_an_invalid_name_is_refused(text):
    with pytest.raises(ValueError, match="invalid image name"):
        parse_reference(text)


@pytest.mark.parametrize("function", [parse_reference, check_repository, complete_image_name])
def test_a_name_that_ko_must_replace_is_refused(function):
    with pytest.raises(ValueError, match="a placeholder that ko resolve replaces; "):
        function("ko://example.com/team/cmd/agent")


@pytest.mark.parametrize(
    "text, problem",
    [
        ("", "names no image; write name:tag or host/path:tag"),
        (":dev", "names no image; write name:tag or host/path:tag"),
        ("app:dev:1", 'has more than one tag; write "app:dev"'),
        ("localhost:5000/app:dev:1", 'has more than one tag; write "localhost:5000/app:dev"'),
        (f"app@{DIGEST}", "has a digest, which the engine computes itself; write name:tag or host/path:tag"),
        ("App:dev", '"App" is not a valid path of a repository'),
        ("app:-", '"-" is not a valid tag'),
    ],
)
def test_an_invalid_name_for_an_engine_is_reported(text, problem):
    with pytest.raises(ValueError) as caught:
        complete_image_name(text)
    assert str(caught.value).startswith(problem)


@pytest.mark.parametrize(
    "container_image, image, same",
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
def test_an_image_is_compared_by_tag_and_digest_if_it_has_them(container_image, image, same):
    assert names_same_image(container_image, image) is same


@given(
    st.one_of(
        st.text(max_size=20), st.lists(st.sampled_from(["a", "/", ":", "@", ".", "-", "_", "A", DIGEST]), max_size=9).map("".join)
    )
)
def test_any_text_is_refused_or_names_itself(text):
    try:
        reference = parse_reference(text)
    except ValueError:
        return
    full_name = (
        reference.repository
        + (f":{reference.tag}" if reference.tag else "")
        + (f"@{reference.digest}" if reference.digest else "")
    )
    assert parse_reference(full_name) == reference and names_same_image(text, full_name)
