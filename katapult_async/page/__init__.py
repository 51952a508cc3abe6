"""What all pages for a browser have in common: the frame of the document, and axes of charts.

A page is one file that needs no server and no network. Its content security policy permits none.
"""

from __future__ import annotations

from .document import asset, foot, head, text
from .scale import round_up, shown

__all__ = ["asset", "foot", "head", "round_up", "shown", "text"]
