"""The fast path: writes requests in one piece to connections of aiohttp (docs/fast-path.md)."""
