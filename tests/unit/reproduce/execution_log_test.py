from __future__ import annotations

import random
import tracemalloc

import pytest
from compression import zstd
from logs import LogWriter, frame

from rules_setcap.diagnostics import limits
from rules_setcap.diagnostics.errors import InputError
from rules_setcap.reproduce.execution_log import read_commands, read_log


def _write_log() -> LogWriter:
    log = LogWriter()
    source = log.add_file("app/main.c", "1")
    links = log.add(symlink_entry_set={"direct_entries": [{"path": "link", "target_id": source}]})
    runfiles = log.add(runfiles_tree={"symlinks_id": links})
    inputs = log.add_set(source, runfiles)
    output = log.add_directory("bazel-out/bin/app/tree", {"b": "2", "a": "3"})
    log.add_spawn("//app:tree", inputs, [output], "cc", "/base/execroot/x", TMPDIR="/base/tmp")
    log.add(
        symlink_action={
            "input_path": "bazel-out/bin/app/tree",
            "output_path": "bazel-out/bin/app/link",
            "target_label": "//app:link",
            "mnemonic": "Symlink",
        }
    )
    return log


def test_actions_are_read_with_their_files(tmp_path):
    log = read_log(_write_log().write(tmp_path / "log"), {})
    make, link = log.actions
    assert (make.label, make.mnemonic, make.runner) == ("//app:tree", "Make", "local")
    assert [(item.path, item.files) for item in make.outputs] == [("bazel-out/bin/app/tree", (("a", "3"), ("b", "2")))]
    assert (link.label, link.link_target, link.outputs[0].path) == (
        "//app:link",
        "bazel-out/bin/app/tree",
        "bazel-out/bin/app/link",
    )
    assert log.list_runners() == {"local": 1}


def test_commands_are_equal_except_for_what_differs_by_design(tmp_path):
    path = _write_log().write(tmp_path / "log")
    first, second, other = (read_log(path, texts).actions[0].command for texts in ({"/base": "B"}, {"/base": "B", "/x": "X"}, {}))
    assert first != other
    assert first != second
    assert read_log(path, {"/base": "B"}).actions[0].command == first


def test_a_command_is_read_by_its_position(tmp_path):
    path = _write_log().write(tmp_path / "log")
    position = read_log(path, {}).actions[0].position
    command = read_commands(path, [position])[position]
    assert command.arguments == ("cc", "/base/execroot/x")
    assert command.environment == {"TMPDIR": "/base/tmp"}


def _find_problem(tmp_path, data: bytes) -> str:
    path = tmp_path / "log"
    path.write_bytes(data)
    with pytest.raises(InputError) as caught:
        read_log(str(path), {})
    (problem,) = caught.value.problems
    return problem


def test_a_file_that_is_no_log_is_refused(tmp_path):
    assert "is not an execution log, which is compressed by zstd" in _find_problem(tmp_path, b"text\n")
    assert "is not an execution log, which is compressed by zstd" in _find_problem(tmp_path, b"")
    assert "is not an execution log: an entry has 0 bytes" in _find_problem(tmp_path, zstd.compress(bytes(100)))
    assert "the length of an entry has more than 5 bytes" in _find_problem(tmp_path, zstd.compress(b"\xff" * 100))
    assert "its entry 1 is not a protobuf message" in _find_problem(tmp_path, zstd.compress(frame(b"\x0f\xff\xff")))


def test_a_truncated_log_is_refused_wherever_it_ends(tmp_path):
    log = _write_log()
    whole = read_log(log.write(tmp_path / "whole"), {})
    for end in range(0, len(log.data), 3):
        (tmp_path / "log").write_bytes(zstd.compress(log.data[:end]))
        try:
            assert len(read_log(str(tmp_path / "log"), {}).actions) <= len(whole.actions)
        except InputError as error:
            assert "is not a complete execution log: it ends within" in error.problems[0]
    compressed = zstd.compress(log.data)
    for end in range(4, len(compressed) - 1):
        assert "is not a complete execution log: damaged zstd: it is truncated" in _find_problem(tmp_path, compressed[:end])


def test_an_entry_that_claims_to_be_huge_takes_no_memory(tmp_path):
    tracemalloc.start()
    assert "limit LOG_ENTRY" in _find_problem(tmp_path, zstd.compress(b"\xff\xff\xff\xff\x0f" + bytes(1000)))
    assert tracemalloc.get_traced_memory()[1] < 16 << 20
    tracemalloc.stop()


def test_a_log_with_too_many_entries_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(limits, "LOG_ENTRIES", 1000)
    data = frame(b"\x08\x01") * 1001
    assert "has more than 1000 entries (limit LOG_ENTRIES)" in _find_problem(tmp_path, zstd.compress(data))


def test_a_log_that_expands_a_thousandfold_is_read_or_refused(tmp_path):
    log = LogWriter()
    log.add(file={"path": "a" * (32 << 20)})
    assert len(zstd.compress(log.data)) < 1 << 16
    assert read_log(log.write(tmp_path / "log"), {}).items[1].path.startswith("aaa")


def test_random_bytes_are_never_an_internal_error(tmp_path):
    for seed in range(300):
        draw = random.Random(seed)
        data = bytearray(_write_log().data)
        for _ in range(draw.randrange(1, 6)):
            data[draw.randrange(len(data))] = draw.randrange(256)
        (tmp_path / "log").write_bytes(zstd.compress(bytes(data)))
        try:
            read_log(str(tmp_path / "log"), {})
        except InputError as error:
            assert len(error.problems) == 1, seed
