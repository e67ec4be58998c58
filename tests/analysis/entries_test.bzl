"""Tests of the lines that each kind of File becomes. File.is_symlink exists since Bazel 8."""

load("@bazel_skylib//lib:unittest.bzl", "asserts", "unittest")
load("//rules/private:entries.bzl", "write_lines")  # buildifier: disable=bzl-visibility

def _file(**fields):
    return struct(**({"is_directory": False, "is_source": False, "path": "p"} | fields))

def _entry_lines_impl(ctx):
    env = unittest.begin(ctx)
    children = struct(expand = lambda _directory: [_file(path = "p/a", tree_relative_path = "a")])
    file = ["srcs", "/x", "p"]
    directory = {"attribute": "srcs", "path": "/x", "type": "directory"}
    for fields, expected in [
        # Bazel 7.
        ({}, [["srcs", "/x", "", "p"]]),
        ({"is_source": True}, [file]),
        ({"is_directory": True, "is_source": True}, [directory | {"source": "p"}]),
        ({"is_directory": True}, [directory, ["srcs", "/x/a", "p/a"]]),
        # Bazel 8.
        ({"is_symlink": False}, [file]),
        ({"is_source": True, "is_symlink": False}, [file]),
        ({"is_symlink": True}, [directory | {"source": "p", "type": "symlink"}]),
    ]:
        lines = write_lines("srcs", _file(**fields), "/x", children)
        asserts.equals(env, expected, [json.decode(line) for line in lines])

    # Bazel computes the key of the action before it knows the files of a directory.
    unexpanded = struct(expand = lambda directory: [directory])
    lines = write_lines("srcs", _file(is_directory = True), "/x", unexpanded)
    asserts.equals(env, [directory], [json.decode(line) for line in lines])
    return unittest.end(env)

entry_lines_test = unittest.make(_entry_lines_impl)
