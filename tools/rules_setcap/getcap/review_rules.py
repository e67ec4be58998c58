"""The rules of `getcap --review`.

The ids are stable, because allowlists and other tools refer to them. The table in docs/review.md has the same texts.
"""

from __future__ import annotations

from rules_setcap.diagnostics.sarif import Rule

CAPABILITIES = Rule(
    "RSC001",
    "capabilities",
    "A file has capabilities, and the allowlist has no line for it.",
    "A process that executes the file gets these capabilities if the runtime grants them. Remove them, or add the file to the "
    "allowlist with a reason.",
)
SET_USER_ID = Rule(
    "RSC002",
    "set-user-id",
    "A file is set-user-ID, and the allowlist has no line for it.",
    "A process that executes the file runs as its owner: execve(2). Remove the bit (chmod u-s), or add the file to the allowlist with a reason.",
)
SET_GROUP_ID = Rule(
    "RSC003",
    "set-group-id",
    "A file is set-group-ID, and the allowlist has no line for it.",
    "A process that executes the file gets the file's group: execve(2). Remove the bit (chmod g-s), or add the file to the allowlist "
    "with a reason.",
)
MORE_THAN_ALLOWED = Rule(
    "RSC004",
    "more-than-allowed",
    "A file has more privileges than its line of the allowlist allows, or other ones.",
    "The image changed. Remove the new privileges, or review them and change the line of the allowlist.",
)
STALE_ALLOWLIST = Rule(
    "RSC005",
    "stale-allowlist",
    "The allowlist allows something that no image has.",
    "An unused line would silently allow a later change. Remove it.",
)
IMAGE_PROBLEM = Rule(
    "RSC100",
    "image-problem",
    "Capabilities in the image are invalid, or depend on the container engine that unpacks it.",
    "The message names the problem. Which capabilities a container gets from the image is uncertain.",
)
SCRIPT = Rule(
    "RSC101",
    "script",
    "A script has capabilities or set-ID bits, which have no effect.",
    'The kernel uses those of the interpreter: execve(2), "Interpreter scripts". Remove them from the script.',
)
INVALID_ATTRIBUTE = Rule(
    "RSC102",
    "invalid-attribute",
    "The security.capability attribute of a file is not valid.",
    "The kernel refuses to store or to use it: security/commoncap.c, get_vfs_caps_from_disk. Set it again.",
)
UNKNOWN_CAPABILITIES = Rule(
    "RSC103",
    "unknown-capabilities",
    "A file has capabilities that no kernel knows.",
    "Numbers above 40 have no effect today, and may have one in a later kernel. Remove them.",
)
INHERITABLE_ONLY = Rule(
    "RSC104",
    "inheritable-only",
    "A file's capabilities are only inheritable.",
    "They have an effect only in a process that has the same inheritable capabilities, and runtimes start processes without any: "
    'capabilities(7), "Transformation of capabilities during execve()". Make them permitted (=p), or remove them.',
)
ROOTID = Rule(
    "RSC105",
    "rootid",
    "A file's capabilities have an effect only in some user namespaces.",
    'The rootid is the uid of the root user of these namespaces: capabilities(7), "Namespaced file capabilities". Write the '
    "capabilities without a rootid.",
)
NOT_EXECUTABLE = Rule(
    "RSC106",
    "not-executable",
    "A file has capabilities or a set-user-ID bit, and nobody may execute it.",
    "They have an effect as soon as somebody changes the mode. Remove the privileges, or make the file executable.",
)
WRITABLE = Rule(
    "RSC201",
    "writable",
    "Users other than the owner can write to a file with capabilities or set-ID bits.",
    "A write through a shared mapping (mmap(2)) does not clear capabilities and set-ID bits, so these users can run their own code with "
    "them. Remove the write permission.",
)
WRITABLE_DIRECTORY = Rule(
    "RSC202",
    "writable-directory",
    "A file with capabilities or set-ID bits is below a directory in which users other than the owner can replace it.",
    "These users can put another program in place of the file, and others execute it. Remove the write permission, or set the sticky bit.",
)
OWNER = Rule(
    "RSC203",
    "owner",
    "The owner of a file with capabilities is not root.",
    "The owner can write to the file, whatever its mode, and so run their own code with its capabilities. Make root the owner.",
)
INTERPRETER = Rule(
    "RSC204",
    "interpreter",
    "A program that runs any code or writes any file for its user has capabilities or set-ID bits.",
    'Anybody who executes it can use them for anything: GTFOBins, "Capabilities" and "SUID". Write a program for the purpose, and '
    "assign them to that.",
)
EVERYTHING = Rule(
    "RSC205",
    "everything",
    "A file has every capability.",
    "It equals a set-user-ID root program. Assign only what the program needs.",
)
EQUALS_ROOT = Rule(
    "RSC206",
    "equals-root",
    "A file has a capability that equals root.",
    "An attacker who controls the program becomes root with this capability alone. Change the program so that it does not need it.",
)
SET_USER_ID_AND_CAPABILITIES = Rule(
    "RSC207",
    "set-user-id-and-capabilities",
    "A file has capabilities and a set-user-ID bit.",
    "If another user than root executes it, the process gets only the file's capabilities: capabilities(7), \"Set-user-ID-root "
    'programs that have file capabilities". If root executes it, the process has all capabilities anyway. Keep one of the two.',
)
HARD_LINK = Rule(
    "RSC208",
    "hard-link",
    "A file with capabilities or set-ID bits has several names.",
    "A hard link is another name for the same file, with the same privileges, and is easily overlooked. Keep one of the names.",
)

RULES = (
    CAPABILITIES,
    SET_USER_ID,
    SET_GROUP_ID,
    MORE_THAN_ALLOWED,
    STALE_ALLOWLIST,
    IMAGE_PROBLEM,
    SCRIPT,
    INVALID_ATTRIBUTE,
    UNKNOWN_CAPABILITIES,
    INHERITABLE_ONLY,
    ROOTID,
    NOT_EXECUTABLE,
    WRITABLE,
    WRITABLE_DIRECTORY,
    OWNER,
    INTERPRETER,
    EVERYTHING,
    EQUALS_ROOT,
    SET_USER_ID_AND_CAPABILITIES,
    HARD_LINK,
)
"""All rules, in the order of their ids."""

PRIVILEGE_RULES = frozenset((CAPABILITIES, SET_USER_ID, SET_GROUP_ID, MORE_THAN_ALLOWED))
"""Rules about privileges that the allowlist does not allow. A line that allows the privileges of a file answers them."""

ACCEPTABLE_IDS = frozenset(rule.id for rule in RULES) - {rule.id for rule in (*PRIVILEGE_RULES, STALE_ALLOWLIST, IMAGE_PROBLEM)}
"""Ids of the rules whose findings about a file `accept=` accepts in a line of the allowlist."""
