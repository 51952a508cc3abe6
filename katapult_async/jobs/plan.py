"""The old place of `preview` and `from_manifest`, kept for programs that import them from here.

Refuses to hold anything of its own: new code imports from `katapult_async.jobs`.
"""

from __future__ import annotations

from .preflight.preview import from_manifest, preview

#: Deprecated: the function is called `preview` now.
plan = preview

__all__ = ["from_manifest", "plan", "preview"]
