"""Manifests: the input of a run, such as which disk to assign to which virtual machine."""

from __future__ import annotations

from .manifest import Complaint, Manifest, ManifestCheck, ManifestError
from .rows import Digest, ManifestLine

__all__ = ["Complaint", "Digest", "Manifest", "ManifestCheck", "ManifestError", "ManifestLine"]
