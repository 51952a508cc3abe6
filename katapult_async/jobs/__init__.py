"""Bulk jobs from files: the manifest that says what is wanted."""

from __future__ import annotations

from .manifest import Complaint, Manifest, ManifestCheck, ManifestError, ManifestLine

__all__ = ["Complaint", "Manifest", "ManifestCheck", "ManifestError", "ManifestLine"]
