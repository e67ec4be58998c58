"""The rules of `getcap --review`. Their ids are stable: allowlists and other tools hold them."""

from __future__ import annotations

from typing import NamedTuple


class Rule(NamedTuple):
    """A kind of finding.

    Attributes:
      id: "RSC" and three digits, never used for anything else.
      name: a short name, in words with hyphens.
      summary: one sentence.
      help: why it matters and what to do.
    """

    id: str
    name: str
    summary: str
    help: str


CAPABILITIES = Rule(
    "RSC001",
    "capabilities",
    "A file has capabilities that the allowlist does not have.",
    "Whoever executes the file has these capabilities if the runtime grants them. Remove them, or add the file to the allowlist "
    "with a reason.",
)
SET_USER_ID = Rule(
    "RSC002",
    "set-user-id",
    "A file is set-user-ID, and the allowlist does not have it.",
    "Whoever executes the file becomes its owner: execve(2). Remove the bit (chmod u-s), or add the file to the allowlist with a reason.",
)
SET_GROUP_ID = Rule(
    "RSC003",
    "set-group-id",
    "A file is set-group-ID, and the allowlist does not have it.",
    "Whoever executes the file has the file's group: execve(2). Remove the bit (chmod g-s), or add the file to the allowlist "
    "with a reason.",
)
MORE = Rule(
    "RSC004",
    "more-than-allowed",
    "A file has more capabilities or another owner than the allowlist says.",
    "The image changed. Remove what is new, or review it and change the line of the allowlist.",
)
STALE = Rule(
    "RSC005",
    "stale-allowlist",
    "The allowlist has something that no image has.",
    "A line that nothing needs would allow a later change unseen. Remove it.",
)
PROBLEM = Rule(
    "RSC100",
    "image-problem",
    "Capabilities in the image are wrong, or depend on who unpacks it.",
    "See the message. What a container gets of such an image is not certain.",
)
SCRIPT = Rule(
    "RSC101",
    "script",
    "A script has capabilities or set-ID bits, which have no effect.",
    'The kernel takes those of the interpreter instead: execve(2), "Interpreter scripts". Remove them from the script.',
)
INVALID = Rule(
    "RSC102",
    "invalid-attribute",
    "The security.capability attribute of a file is not valid.",
    "The kernel refuses to store or to use it: security/commoncap.c, get_vfs_caps_from_disk. Set it anew.",
)
UNKNOWN = Rule(
    "RSC103",
    "unknown-capabilities",
    "A file has capabilities that no kernel knows.",
    "The numbers above 40 grant nothing today, and may mean something in a later kernel. Remove them.",
)
INHERITABLE = Rule(
    "RSC104",
    "inheritable-only",
    "A file's capabilities are only inheritable.",
    'They count only for a process that has them inheritable already, and runtimes leave none so: capabilities(7), "Transformation of '
    'capabilities during execve()". Make them permitted (=p), or remove them.',
)
ROOTID = Rule(
    "RSC105",
    "rootid",
    "A file's capabilities are for one user namespace.",
    'They count only in user namespaces whose root is that uid: capabilities(7), "Namespaced file capabilities". Write them '
    "without rootid.",
)
NOT_EXECUTABLE = Rule(
    "RSC106",
    "not-executable",
    "A file has capabilities or a set-user-ID bit, and nobody may execute it.",
    "It becomes effective with the first chmod. Remove what is not needed.",
)
WRITABLE = Rule(
    "RSC201",
    "writable",
    "A file with capabilities or set-ID bits can be written by others than its owner.",
    "A write through a shared mapping (mmap(2)) does not clear capabilities and set-ID bits, so whoever may write to the file has them for "
    "code of their own. Remove the write permission.",
)
WRITABLE_DIRECTORY = Rule(
    "RSC202",
    "writable-directory",
    "A file with capabilities or set-ID bits is below a directory in which others can replace it.",
    "Whoever may write to the directory puts another program in the file's place, for others to run. Remove the write permission, or set "
    "the sticky bit.",
)
OWNER = Rule(
    "RSC203",
    "owner",
    "A file with capabilities is owned by a user other than root.",
    "The owner may write to the file, whatever its mode, and so has its capabilities for code of their own. Make root the owner.",
)
INTERPRETER = Rule(
    "RSC204",
    "interpreter",
    "A program that runs or writes what its user tells it has capabilities or set-ID bits.",
    'Whoever executes it does anything with them: GTFOBins, "Capabilities" and "SUID". Write a program for the purpose, and give '
    "them to that.",
)
EVERYTHING = Rule(
    "RSC205",
    "everything",
    "A file has every capability.",
    "It equals a set-user-ID root program. Assign only what the program needs.",
)
ROOT = Rule(
    "RSC206",
    "equals-root",
    "A file has a capability that equals root.",
    "With it alone an attacker who controls the program becomes root. Find a way without it.",
)
BOTH = Rule(
    "RSC207",
    "set-user-id-and-capabilities",
    "A file has capabilities and a set-user-ID bit.",
    'A set-user-ID-root program that has capabilities gives only these: capabilities(7), "Set-user-ID-root programs that have file '
    'capabilities". A process of root has all capabilities without them. Choose one of the two.',
)
HARD_LINK = Rule(
    "RSC208",
    "hard-link",
    "A file with capabilities or set-ID bits has several names.",
    "A hard link is the same file, with the same capabilities, under a name that may be overlooked. Keep one of them.",
)

RULES = (
    CAPABILITIES,
    SET_USER_ID,
    SET_GROUP_ID,
    MORE,
    STALE,
    PROBLEM,
    SCRIPT,
    INVALID,
    UNKNOWN,
    INHERITABLE,
    ROOTID,
    NOT_EXECUTABLE,
    WRITABLE,
    WRITABLE_DIRECTORY,
    OWNER,
    INTERPRETER,
    EVERYTHING,
    ROOT,
    BOTH,
    HARD_LINK,
)
"""All rules, by id."""

BY_LINE = frozenset((CAPABILITIES, SET_USER_ID, SET_GROUP_ID, MORE))
"""Rules that a line of the allowlist answers by what it says of the file; the others need `accept=`."""
