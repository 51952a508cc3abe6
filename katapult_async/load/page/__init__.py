"""The page of a load test for a browser: one file without scripts or other files."""

from __future__ import annotations

from .html import write_comparison_page, write_page

__all__ = ["write_comparison_page", "write_page"]
