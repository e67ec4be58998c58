from __future__ import annotations

import pathlib
from collections.abc import Callable

import pytest
from logs import LogWriter

from rules_setcap.reproduce import faults
from rules_setcap.reproduce.execution_log import read_log
from rules_setcap.reproduce.faults import Fault, find_faults
from rules_setcap.reproduce.log_comparison import LogComparison

OUT = "bazel-out/bin/"


@pytest.fixture
def find(tmp_path: pathlib.Path) -> Callable[..., list[Fault]]:
    """Returns a function that finds the faults between two logs, for the images whose paths are given."""

    def find_between(write: Callable[[LogWriter, str], None], *images: str) -> list[Fault]:
        logs = []
        for number in ("1", "2"):
            log = LogWriter()
            write(log, number)
            logs.append(read_log(log.write(tmp_path / number), {}))
        return find_faults(LogComparison(*logs), {f"//:{image}": [OUT + image] for image in images})

    return find_between


def test_the_first_action_with_equal_inputs_is_at_fault(find):
    def write(log: LogWriter, number: str) -> None:
        source = log.add_file("main.c", "source")
        compiled = log.add_file(OUT + "main.o", number)
        log.add_spawn("//:compile", log.add_set(source), [compiled])
        linked = log.add_file(OUT + "main", number)
        log.add_spawn("//:link", log.add_set(compiled, source), [linked])
        log.add_spawn("//:image", log.add_set(linked), [log.add_directory(OUT + "image", {"blob": number})])

    (fault,) = find(write, "image")
    assert (fault.reason, fault.action.label, fault.files) == (faults.EQUAL, "//:compile", [OUT + "main.o"])
    assert fault.images == ["//:image"]


def test_a_fault_reaches_all_images_that_have_what_it_made(find):
    def write(log: LogWriter, number: str) -> None:
        file = log.add_file(OUT + "file", number)
        log.add_spawn("//:file", 0, [file])
        other = log.add_file(OUT + "other", number)
        log.add_spawn("//:other", 0, [other])
        for name, items in {"a": [file], "b": [other, file], "c": [file]}.items():
            log.add_spawn("//:" + name, log.add_set(*items), [log.add_file(OUT + name, number)])

    first, second = find(write, "a", "b", "c")
    assert (first.files, first.images) == ([OUT + "file"], ["//:a", "//:b", "//:c"])
    assert (second.files, second.images) == ([OUT + "other"], ["//:b"])


def test_an_action_that_reaches_no_image_is_not_reported(find):
    def write(log: LogWriter, number: str) -> None:
        log.add_spawn("//:unrelated", 0, [log.add_file(OUT + "unrelated", number)])
        log.add_spawn("//:image", 0, [log.add_file(OUT + "image", number)])

    (fault,) = find(write, "image")
    assert fault.action.label == "//:image"


def test_sets_within_sets_are_followed_however_they_are_shared(find):
    def write(log: LogWriter, number: str) -> None:
        changed = log.add_file(OUT + "changed", number)
        log.add_spawn("//:changed", 0, [changed])
        inner = log.add_set(changed)
        same = log.add_set(log.add_file("same", "same"))
        # The structure of sets may differ between two logs.
        left = log.add_set(sets=[inner, same]) if number == "1" else log.add_set(changed, sets=[same])
        right = log.add_set(sets=[same, left, inner])
        log.add_spawn("//:image", log.add_set(sets=[left, right]), [log.add_file(OUT + "image", number)])

    (fault,) = find(write, "image")
    assert fault.action.label == "//:changed"


def test_sets_of_another_structure_are_equal_if_their_files_are(find):
    def write(log: LogWriter, number: str) -> None:
        a, b = log.add_file("a", "a"), log.add_file("b", "b")
        inputs = log.add_set(a, b) if number == "1" else log.add_set(a, sets=[log.add_set(b)])
        log.add_spawn("//:image", inputs, [log.add_file(OUT + "image", number)])

    (fault,) = find(write, "image")
    assert (fault.reason, fault.action.label) == (faults.EQUAL, "//:image")


def test_a_command_that_differs_is_the_reason(find):
    def write(log: LogWriter, number: str) -> None:
        log.add_spawn("//:image", 0, [log.add_file(OUT + "image", number)], "cc", f"-DNUMBER={number}")

    (fault,) = find(write, "image")
    assert fault.reason == faults.COMMAND


def test_a_variable_that_differs_is_the_reason(find):
    def write(log: LogWriter, number: str) -> None:
        log.add_spawn("//:image", 0, [log.add_file(OUT + "image", number)], "cc", HOME=number)

    (fault,) = find(write, "image")
    assert fault.reason == faults.COMMAND


@pytest.mark.parametrize("path", ["external/repository/file", "app/source", OUT + "written_by_bazel"])
def test_a_file_that_no_action_made_is_the_reason(path, find):
    def write(log: LogWriter, number: str) -> None:
        log.add_spawn("//:image", log.add_set(log.add_file(path, number)), [log.add_file(OUT + "image", number)])

    (fault,) = find(write, "image")
    assert (fault.reason, fault.files, fault.readers[0].label) == (faults.FILE, [path], "//:image")


def test_an_input_that_only_the_second_build_has_is_the_reason(find):
    def write(log: LogWriter, number: str) -> None:
        more = [log.add_file("more", "more")] if number == "2" else []
        log.add_spawn("//:image", log.add_set(log.add_file("same", "same"), *more), [log.add_file(OUT + "image", number)])

    (fault,) = find(write, "image")
    assert (fault.reason, fault.files) == (faults.FILE, ["more"])


def test_links_and_runfiles_are_followed(find):
    def write(log: LogWriter, number: str) -> None:
        program = log.add_file(OUT + "program", number)
        log.add_spawn("//:program", 0, [program])
        link = log.add_file(OUT + "link", number)
        log.add(symlink_action={"input_path": OUT + "program", "output_path": OUT + "link", "target_label": "//:link"})
        links = log.add(symlink_entry_set={"direct_entries": [{"path": "p", "target_id": link}]})
        runfiles = log.add(runfiles_tree={"symlinks_id": links})
        log.add_spawn("//:image", log.add_set(runfiles), [log.add_file(OUT + "image", number)])

    (fault,) = find(write, "image")
    assert fault.action.label == "//:program"


def test_a_directory_that_several_actions_made_is_followed_into_its_files(find):
    def write(log: LogWriter, number: str) -> None:
        for name, content in {"a": "same", "b": number}.items():
            log.add_spawn("//:" + name, 0, [log.add_file(f"{OUT}tree/{name}", content)])
        tree = log.add_directory(OUT + "tree", {"a": "same", "b": number})
        log.add_spawn("//:image", log.add_set(tree), [log.add_file(OUT + "image", number)])

    (fault,) = find(write, "image")
    assert (fault.action.label, fault.files) == ("//:b", [OUT + "tree/b"])


def test_the_differing_files_of_a_directory_are_named(find):
    def write(log: LogWriter, number: str) -> None:
        tree = log.add_directory(OUT + "tree", {"a": "same", "b": number, "only" + number: "x"})
        log.add_spawn("//:tree", 0, [tree])
        log.add_spawn("//:image", log.add_set(tree), [log.add_file(OUT + "image", number)])

    (fault,) = find(write, "image")
    assert fault.files == [f"{OUT}tree/b", f"{OUT}tree/only1", f"{OUT}tree/only2"]


def test_an_action_of_the_first_build_only_is_named(find):
    def write(log: LogWriter, number: str) -> None:
        file = log.add_file(OUT + "file", number)
        if number == "1":
            log.add_spawn("//:file", 0, [file])
        log.add_spawn("//:image", log.add_set(file), [log.add_file(OUT + "image", number)])

    (fault,) = find(write, "image")
    assert (fault.reason, fault.action.label) == (faults.MISSING, "//:file")


def test_sets_that_include_each_other_are_read_once(find):
    def write(log: LogWriter, number: str) -> None:
        log.add(input_set={"transitive_set_ids": [2]})
        log.add(input_set={"transitive_set_ids": [1], "input_ids": [3]})
        log.add_file("source", number)
        log.add_spawn("//:image", 1, [log.add_file(OUT + "image", number)])

    (fault,) = find(write, "image")
    assert fault.files in (["source"], [OUT + "image"])
