"""What several clients share: connections, DNS answers, a TLS context, and one rate window per token."""

from __future__ import annotations

import ssl
from types import TracebackType

import aiohttp

from katapult_async.observer import Observer
from katapult_async.ratelimit import Gate, Window

from .address import Secret, check_base_url, check_token
from .connector import Connector
from .lean import LeanWire, is_tested
from .lines import Lines
from .retry import RetryPolicy
from .session import Session
from .wire import DEFAULT_MAX_BODY, Exchange, Timeout, Wire


def _version() -> str:
    import importlib.metadata  # when the first session is made: it takes as long as a twentieth of aiohttp

    try:
        return importlib.metadata.version("katapult-async")
    except importlib.metadata.PackageNotFoundError:
        return "unknown"  # run from a source tree that is not installed


class SessionPool:
    """An asynchronous context manager that several Clients may share.

        async with SessionPool() as pool:
            one = Client(token_a, pool=pool)
            two = Client(token_b, pool=pool)

    Clients of one pool with the same token and base URL share one rate window, as the server counts per token.

    ssl_context: for a private certificate authority. max_body: bytes of a response that are read at most.
    trust_env: use the proxy settings and .netrc of the environment (off: nothing outside the code decides where the
    token goes). allow_http: allow base URLs that send the token in clear text to other hosts than loopback. lean: send
    requests the short way (docs/lean-transport.md) where that is possible: with versions of aiohttp that it was tested
    with, and without trust_env.
    """

    def __init__(
        self,
        *,
        ssl_context: ssl.SSLContext | None = None,
        max_body: int = DEFAULT_MAX_BODY,
        trust_env: bool = False,
        allow_http: bool = False,
        lean: bool = True,
    ) -> None:
        self._ssl = ssl_context
        self._max_body = max_body
        self._trust_env = trust_env
        self._allow_http = allow_http
        # A proxy of the environment is aiohttp's business: the lean way knows none.
        self._lean = lean and not trust_env
        self._connector: Connector | None = None
        self._lines: Lines | None = None
        self._sessions: set[Session] = set()
        self._gates: dict[tuple[str, str], Gate] = {}

    def __repr__(self) -> str:
        state = "open" if self._connector is not None else "closed"
        way = repr(self._lines) if self._lines is not None else "aiohttp's client"
        return f"<SessionPool {state}, {len(self._sessions)} sessions, {len(self._gates)} tokens, {way}>"

    async def __aenter__(self) -> SessionPool:
        if self._connector is not None:
            raise RuntimeError("this SessionPool is already open")
        self._connector = Connector(ssl_context=self._ssl)
        if self._lean and is_tested(aiohttp.__version__):
            self._lines = Lines(self._connector, max_body=self._max_body)
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        connector, self._connector = self._connector, None
        lines, self._lines = self._lines, None
        for session in list(self._sessions):
            await self.close_session(session)
        if lines is not None:
            lines.close()
        if connector is not None:
            await connector.close()

    def session(
        self,
        api_token: str,
        *,
        base_url: str,
        timeout: Timeout,
        retry: RetryPolicy,
        period: float = 60.0,
        total_permitted: int | None = None,
        max_per_second: float | None = None,
        observer: Observer | None = None,
    ) -> Session:
        """A session for this token. Its gate is shared with all sessions of the same token and base URL.

        Raises ValueError for a token or a base URL that must not be used, RuntimeError when the pool is closed.
        """
        token = check_token(api_token)
        base_url = check_base_url(base_url, allow_http=self._allow_http)
        if self._connector is None:
            raise RuntimeError("use the client inside 'async with': it is not open")
        wire = self._wire(self._connector, token, timeout)
        gate = self._gates.get((base_url, token))
        if gate is None:
            window = Window(period=period, limit=total_permitted)
            gate = Gate(window, max_per_second=max_per_second)
            self._gates[base_url, token] = gate
        session = Session(wire, gate, base_url=base_url, retry=retry, observer=observer)
        self._sessions.add(session)
        return session

    async def close_session(self, session: Session) -> None:
        """Nothing of it is left, but what is known of its token's rate window: the server goes on counting."""
        self._sessions.discard(session)
        await session.close()

    def _wire(self, connector: Connector, token: Secret, timeout: Timeout) -> Exchange:
        headers = {
            "Authorization": Secret(f"Bearer {token}"),
            "Accept": "application/json",
            "Accept-Encoding": "identity",
            "User-Agent": f"katapult-async/{_version()}",
        }
        plain = Wire(
            connector, headers=headers, timeout=timeout, max_body=self._max_body, trust_env=self._trust_env
        )
        if self._lines is None:
            return plain
        return LeanWire(self._lines, plain, headers=headers, timeout=timeout)
