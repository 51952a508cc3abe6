"""What tests of both ways over the wire share."""

from __future__ import annotations

import aiohttp
import pytest


@pytest.fixture(params=["fast", "plain"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """The path of requests. With an untested version of aiohttp it is the plain path."""
    if request.param == "plain":
        monkeypatch.setattr(aiohttp, "__version__", "3.999.0")
    return str(request.param)
