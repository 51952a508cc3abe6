"""The old place of `preview`, kept for programs that import `plan` from here.

New code imports from the package.
"""

from __future__ import annotations

import warnings

from .preflight.preview import preview

__all__ = ["preview"]


def __getattr__(name: str) -> object:
    if name == "plan":
        warnings.warn(
            "plan is called preview: from katapult_async.jobs import preview", DeprecationWarning, 2
        )
        return preview
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
