"""What tests of both ways over the wire share."""

from __future__ import annotations

import aiohttp
import pytest


@pytest.fixture(params=["fast", "plain"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """The way that requests take: with a version of aiohttp that nobody has tested it is the plain one."""
    if request.param == "plain":
        monkeypatch.setattr(aiohttp, "__version__", "3.999.0")
    return str(request.param)
