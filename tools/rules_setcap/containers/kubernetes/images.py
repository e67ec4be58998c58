"""The names of images in manifests; oci/reference.py has the grammar."""

from __future__ import annotations

from rules_setcap.oci.reference import ImageReference as Reference
from rules_setcap.oci.reference import names_same_image as names
from rules_setcap.oci.reference import parse_reference as reference

__all__ = ["Reference", "names", "reference"]
