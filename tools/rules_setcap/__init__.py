"""Linux file capabilities of container images: the programs that the Bazel rules run."""

import sys

# Later imports would fail with a syntax error or an import error.
if sys.version_info < (3, 11):  # noqa: UP036
    sys.exit(
        f"rules_setcap: {sys.executable} is Python {sys.version.split()[0]}, and 3.11 or later is needed; docs/offline.md describes "
        "how to use another interpreter"
    )
