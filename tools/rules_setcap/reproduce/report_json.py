"""Writes the outcome as JSON, and as an in-toto statement."""

from __future__ import annotations

import datetime
from dataclasses import asdict
from typing import TYPE_CHECKING

from rules_setcap.diagnostics.console import format_json
from rules_setcap.diagnostics.version import VERSION
from rules_setcap.diff.report_json import make_json_report

if TYPE_CHECKING:
    from typing import Any

    from rules_setcap.reproduce.outcome import ComparedImage, ExplainedFault, Outcome

JSON_VERSION = 1
"""The value of the key `version`. It changes when a key is removed or gets another meaning. New keys do not change it."""


def format_json_report(outcome: Outcome) -> str:
    """Returns the outcome as indented JSON in printable ASCII. docs/reference/schemas has its schema."""
    return _dump(
        {
            "version": JSON_VERSION,
            "reproducible": outcome.is_reproducible,
            "targets": outcome.targets,
            "bazel": outcome.bazel,
            "images": [_image_to_json(image) for image in outcome.images],
            "skipped": outcome.skipped,
            "causes": [_fault_to_json(fault) for fault in outcome.faults],
            **_variations_to_json(outcome),
            "runners": outcome.runners,
            "seconds": [round(seconds, 1) for seconds in outcome.seconds],
            "notes": outcome.notes,
        }
    )


def format_statement(outcome: Outcome) -> str:
    """Returns an in-toto statement about the images: SLSA provenance of their builds, with what was varied.

    https://in-toto.io/Statement/v1, https://slsa.dev/provenance/v1
    """
    subjects = [
        {"name": image.label, "digest": {"sha256": digest.removeprefix("sha256:")}}
        for image in outcome.images
        for digest in dict.fromkeys(filter(None, (*image.first.split(", "), *image.second.split(", "))))
    ]
    return _dump(
        {
            "_type": "https://in-toto.io/Statement/v1",
            "subject": subjects,
            "predicateType": "https://slsa.dev/provenance/v1",
            "predicate": {
                "buildDefinition": {
                    "buildType": "pkg:bazel/rules_setcap#reproduce/v1",
                    "externalParameters": {"targets": outcome.targets},
                    "internalParameters": {
                        **_variations_to_json(outcome),
                        "reproducible": {image.label: image.is_same for image in outcome.images},
                    },
                    "resolvedDependencies": [],
                },
                "runDetails": {
                    "builder": {
                        "id": f"pkg:bazel/rules_setcap@{VERSION}",
                        "version": {"rules_setcap": VERSION, "bazel": outcome.bazel},
                    },
                    "metadata": {
                        "startedOn": _format_time(outcome.started[0]),
                        "finishedOn": _format_time(outcome.started[-1] + sum(outcome.seconds[-2:])),
                    },
                },
            },
        }
    )


def _image_to_json(image: ComparedImage) -> dict[str, Any]:
    return {
        "label": image.label,
        "path": image.execution_path,
        "same": image.is_same,
        "digests": [image.first, image.second],
        "difference": make_json_report(image.difference) if image.difference else None,
        "problems": image.problems,
    }


def _fault_to_json(explained: ExplainedFault) -> dict[str, Any]:
    fault = explained.fault
    action, partner = fault.action, fault.partner
    return {
        "reason": fault.reason,
        "label": action.label if action else None,
        "mnemonic": action.mnemonic if action else None,
        "runners": [action.runner, partner.runner] if action and partner else [],
        "files": fault.files,
        "readers": [{"label": reader.label, "mnemonic": reader.mnemonic} for reader in fault.readers],
        "commands": [{"what": change.what, "values": [change.first, change.second]} for change in explained.commands],
        "traces": [{"variation": name, "value": value} for name, value in explained.traces],
        "content": asdict(explained.content) if explained.content else None,
        "images": fault.images,
    }


def _variations_to_json(outcome: Outcome) -> dict[str, Any]:
    return {
        "varied": [{"name": varied.name, "values": [varied.first, varied.second]} for varied in outcome.varied],
        "not_varied": [{"name": left.name, "reason": left.reason} for left in outcome.not_varied],
    }


def _format_time(seconds: float) -> str:
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _dump(value: Any) -> str:
    return format_json(value) + "\n"
