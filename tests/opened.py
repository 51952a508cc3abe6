"""Clients of a pool that stay open until their pool closes."""

from __future__ import annotations

from katapult_async import Client


async def opened(client: Client) -> Client:
    """Open a client without a block. Its pool closes its session."""
    return await client.__aenter__()
