"""A program that uses the library of imagecap. installed_test.py checks its types, and runs it."""

from __future__ import annotations

import sys

import imagecap


def list_files(path: str) -> list[str]:
    """Returns a line for each file of an image that has capabilities."""
    image: imagecap.Image = imagecap.read_image(path, platform="linux/amd64")
    return [f"{file.path} {file.capabilities}" for file in image.files]


def can_start(path: str, command: str) -> bool:
    """Returns whether a container gets the capabilities that its program asks for."""
    explanation: imagecap.Explanation = imagecap.explain(path, docker_run=command)
    for sentence in explanation.fix:
        print("fix:", sentence)
    return explanation.is_good is True


def drop_others(path: str, output: str) -> str:
    """Writes an image in which only one file has capabilities, and returns its digest."""
    result: imagecap.SetResult = imagecap.set_capabilities(path, output, {"/app": ["net_raw", "bpf"]}, only=True, rewrite=True)
    return result.images[0].digest


def main(path: str, output: str) -> None:
    """Prints what the library tells about an image, and changes it."""
    print("\n".join(list_files(path)))
    print(can_start(path, "docker run --cap-drop=ALL app"), can_start(path, "docker run app"))
    print(drop_others(path, output)[:7], list_files(output))
    try:
        imagecap.set_capabilities(path, output, {"app": "cap_bpf=p", "/app": "cap_bpff=p"})
    except imagecap.InputError as error:
        print("\n".join(error.problems))
    try:
        imagecap.read_image("/missing")
    except (imagecap.InputError, OSError) as error:
        print(type(error).__name__)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
