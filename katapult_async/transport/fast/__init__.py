"""The fast path: requests written in one piece to connections of aiohttp's connector
(docs/fast-path.md).
"""
