"""The manifest of a run: which disk is wanted on which machine. Knows nothing of journals."""

from __future__ import annotations

from .manifest import Complaint, Manifest, ManifestCheck, ManifestError
from .rows import Digest, ManifestLine

__all__ = ["Complaint", "Digest", "Manifest", "ManifestCheck", "ManifestError", "ManifestLine"]
