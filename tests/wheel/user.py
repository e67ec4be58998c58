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


def main(path: str) -> None:
    """Prints what the library tells about an image."""
    print("\n".join(list_files(path)))
    print(can_start(path, "docker run --cap-drop=ALL app"), can_start(path, "docker run app"))
    try:
        imagecap.read_image("/missing")
    except (imagecap.InputError, OSError) as error:
        print(type(error).__name__)


if __name__ == "__main__":
    main(sys.argv[1])
