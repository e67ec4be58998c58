"""Writes the files of a monorepo: programs, libraries, and the packages that make images of them.

    build/                    the macros of services/*.bzl, and two platforms
    libraries/                libraries of 20 small files
    services/pN/              the programs and configuration files of ten services
    CONTENDER/                the layers that services share, and the base of some, by one contender
    CONTENDER/pN/             the images of ten services, by one contender

Programs begin with the header of a static ELF program. The rest, and the files of libraries, is machine code of the interpreter,
so that everything compresses as real programs do, and no two files are equal.
"""

from __future__ import annotations

import json
import pathlib
import random
import struct

from workloads import make_content

from support.bazel import Workspace

SHAPES = {
    "static": "a static program and a layer with its configuration",
    "runfiles": "a program with 100 to 500 runfiles, and its configuration",
    "shared": "a program, its configuration, and four layers that other services share",
    "base": "a program and its configuration, over a base",
    "index": "a program for two platforms, and its configuration",
}
"""The shapes of services by name. The services have them in turn."""

_MACROS = pathlib.Path(__file__).parent / "services"
_LIBRARIES, _FILES = 50, 20
_PER_PACKAGE = 10
_PROGRAM_SIZE = 70_000
_MACHINES = {"": 62, ".arm64": 183}  # e_machine, by the suffix of the name.
_PUBLIC = 'package(default_visibility = ["//visibility:public"])\n\n'

_PLATFORMS = """\
platform(
    name = "linux_amd64",
    constraint_values = ["@platforms//cpu:x86_64", "@platforms//os:linux"],
)

platform(
    name = "linux_arm64",
    constraint_values = ["@platforms//cpu:aarch64", "@platforms//os:linux"],
)

config_setting(
    name = "arm64",
    constraint_values = ["@platforms//cpu:aarch64"],
)
"""


class Monorepo:
    """The services of a workspace.

    Attributes:
      count: the number of services.
    """

    def __init__(self, workspace: Workspace, count: int, seed: int = 1) -> None:
        """Writes the programs, the libraries and the macros.

        Args:
          workspace: the workspace, which has no other targets that the benchmark builds.
          count: the number of services.
          seed: of the choice of libraries.
        """
        self.count = count
        self._workspace = workspace
        chance = random.Random(seed)
        # As many libraries as make 100 to 500 files; four for the services that share layers.
        self._libraries = [
            sorted(chance.sample(range(_LIBRARIES), {"runfiles": chance.randint(5, 25), "shared": 4}.get(self.get_shape(n), 0)))
            for n in range(count)
        ]
        workspace.write("build/BUILD.bazel", _PUBLIC + _PLATFORMS)
        for macros in sorted(_MACROS.glob("*.bzl")):
            workspace.write(f"build/{macros.name}", macros.read_text())
        self._write_libraries()
        self._code = b"".join(make_content(8 << 20))
        for package in range(0, count, _PER_PACKAGE):
            self._write_programs(range(package, min(package + _PER_PACKAGE, count)))

    def get_shape(self, number: int) -> str:
        """Returns the shape of a service."""
        return list(SHAPES)[number % len(SHAPES)]

    def write_contender(self, name: str) -> None:
        """Writes the packages of a contender.

        Args:
          name: the name of the contender and of its macros, build/NAME.bzl.
        """
        load = f'load("//build:{name}.bzl", "base", "library")\n\n' + _PUBLIC
        lines = [f'library(name = "lib{n}", files = "//libraries:lib{n}")' for n in range(_LIBRARIES)]
        lines.append(f'base(name = "base", libraries = {json.dumps([f":lib{n}" for n in range(5)])})')
        self._workspace.write(f"{name}/BUILD.bazel", load + "\n".join(lines) + "\n")
        for package in range(0, self.count, _PER_PACKAGE):
            calls = []
            for number in range(package, min(package + _PER_PACKAGE, self.count)):
                program = f"//services/p{package // _PER_PACKAGE}:server{number}"
                shape = self.get_shape(number)
                libraries = [f"//{name}:lib{n}" for n in self._libraries[number]] if shape == "shared" else []
                fields = {
                    "name": f"server{number}",
                    "shape": shape,
                    "program": program,
                    "program_arm64": f"{program}_arm64" if shape == "index" else "",
                    "config": f"{program}.yaml",
                    "libraries": libraries,
                }
                words = ", ".join(f"{key} = {json.dumps(value)}" for key, value in fields.items())
                calls.append(f"service({words})\n")
            load = f'load("//build:{name}.bzl", "service")\n\n'
            self._workspace.write(f"{name}/p{package // _PER_PACKAGE}/BUILD.bazel", load + "\n".join(calls))

    def change_program(self, number: int, text: str) -> None:
        """Appends a text to the program of a service."""
        path = self._workspace.directory / f"services/p{number // _PER_PACKAGE}/server{number}.elf"
        with open(path, "ab") as file:
            file.write(text.encode())

    def _write_libraries(self) -> None:
        sizes = [500 + 7919 * n % 4000 for n in range(_LIBRARIES * _FILES)]
        content = b"".join(make_content(sum(sizes)))
        groups = []
        for library in range(_LIBRARIES):
            directory = self._workspace.directory / f"libraries/lib{library}"
            directory.mkdir(parents=True)
            for file in range(_FILES):
                size = sizes[library * _FILES + file]
                # The name has that of the library, because old releases of rules_pkg put all runfiles into one directory.
                (directory / f"lib{library}_module{file:02}.py").write_bytes(content[:size])
                content = content[size:]
            groups.append(f'filegroup(name = "lib{library}", srcs = glob(["lib{library}/**"]))\n')
        self._workspace.write("libraries/BUILD.bazel", _PUBLIC + "".join(groups))

    def _write_programs(self, numbers: range) -> None:
        """Writes a package of programs, and of the data that genrules take, because they do not see the runfiles."""
        package = f"services/p{numbers[0] // _PER_PACKAGE}"
        directory = self._workspace.directory / package
        directory.mkdir(parents=True)
        lines = ['load("//build:program.bzl", "program")\n\n', _PUBLIC, 'exports_files(glob(["*.yaml"]))\n\n']
        for number in numbers:
            runs_data = self.get_shape(number) == "runfiles"
            data = json.dumps([f"//libraries:lib{n}" for n in self._libraries[number]] if runs_data else [])
            for suffix in _MACHINES if self.get_shape(number) == "index" else [""]:
                binary = directory / f"server{number}{suffix}.elf"
                binary.write_bytes(_make_program(number, _MACHINES[suffix], self._code))
                binary.chmod(0o755)
                name = f"server{number}{suffix.replace('.', '_')}"
                lines.append(f'program(name = "{name}", binary = "server{number}{suffix}.elf", data = {data})\n')
            lines.append(f'filegroup(name = "server{number}_data", srcs = {data})\n')
            (directory / f"server{number}.yaml").write_text(f"name: server{number}\nlisten: :{8000 + number}\n")
        self._workspace.write(f"{package}/BUILD.bazel", "".join(lines))


def _make_program(number: int, machine: int, code: bytes) -> bytes:
    """Returns the file of a static ELF program that would not run.

    Args:
      number: the number of the service.
      machine: e_machine.
      code: much machine code, from which the service takes its share.
    """
    start = number * _PROGRAM_SIZE % (len(code) - _PROGRAM_SIZE)
    body = b"%d" % number + code[start : start + _PROGRAM_SIZE]
    size = 64 + 56 + len(body)
    ident = b"\x7fELF\2\1\1".ljust(16, b"\0")
    header = struct.pack("<16sHHIQQQIHHHHHH", ident, 2, machine, 1, 0x400078, 64, 0, 0, 64, 56, 1, 0, 0, 0)
    segment = struct.pack("<IIQQQQQQ", 1, 5, 0, 0x400000, 0x400000, size, size, 4096)
    return header + segment + body
