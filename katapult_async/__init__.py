"""Async client for bulk operations on the Katapult cloud API."""

from __future__ import annotations
