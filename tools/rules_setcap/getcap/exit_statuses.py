"""The exit statuses of getcap's commands. docs/getcap.md has the same table."""

from rules_setcap.diagnostics.command_line import SHARED_STATUSES

LIST = {
    0: "no problem",
    1: (
        "capabilities in an image are wrong: a value that setxattr(2) refuses, capabilities on a directory, or a file that has "
        "other capabilities in another engine"
    ),
    2: "an image cannot be read, or a flag is wrong",
    **SHARED_STATUSES,
}
REVIEW = {
    0: "there are no findings; with --allow, the images match the allowlist",
    1: "there are findings",
    2: "an image or the allowlist cannot be read, or a flag is wrong; findings about the rest are reported",
    **SHARED_STATUSES,
}
EXPLAIN = {
    0: "the process has all capabilities that its program's file assigns",
    1: "it does not have them, or it does not start",
    2: "an input cannot be read, or a flag is wrong",
    3: "the program or its capabilities are unknown",
    **SHARED_STATUSES,
}
