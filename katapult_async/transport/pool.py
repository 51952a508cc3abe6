"""What several clients share: connections, DNS answers, a TLS context, and one rate window per token."""

from __future__ import annotations

import importlib.metadata
import ssl
from types import TracebackType

import aiohttp

from katapult_async.observer import Observer
from katapult_async.ratelimit import Gate, Window

from .address import Secret, check_base_url, check_token
from .retry import RetryPolicy
from .session import Session
from .wire import DEFAULT_MAX_BODY, Timeout, Wire


def _version() -> str:
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
    token goes). allow_http: allow base URLs that send the token in clear text to other hosts than loopback.
    """

    def __init__(
        self,
        *,
        ssl_context: ssl.SSLContext | None = None,
        max_body: int = DEFAULT_MAX_BODY,
        trust_env: bool = False,
        allow_http: bool = False,
    ) -> None:
        self._ssl = ssl_context
        self._max_body = max_body
        self._trust_env = trust_env
        self._allow_http = allow_http
        self._connector: aiohttp.TCPConnector | None = None
        self._wires: list[Wire] = []
        self._gates: dict[tuple[str, str], Gate] = {}

    def __repr__(self) -> str:
        state = "open" if self._connector is not None else "closed"
        return f"<SessionPool {state}, {len(self._gates)} tokens>"

    async def __aenter__(self) -> SessionPool:
        if self._connector is not None:
            raise RuntimeError("this SessionPool is already open")
        # No limit of its own: the concurrency of each client bounds the connections, and a request that waited here
        # for a connection would hold a permit while it does.
        self._connector = aiohttp.TCPConnector(
            limit=0, limit_per_host=0, ssl=self._ssl if self._ssl is not None else True
        )
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        connector, self._connector = self._connector, None
        wires, self._wires = self._wires, []
        for wire in wires:
            await wire.close()
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
        wire = Wire(
            self._connector,
            headers={
                "Authorization": Secret(f"Bearer {token}"),
                "Accept": "application/json",
                "Accept-Encoding": "identity",
                "User-Agent": f"katapult-async/{_version()}",
            },
            timeout=timeout,
            max_body=self._max_body,
            trust_env=self._trust_env,
        )
        self._wires.append(wire)
        gate = self._gates.get((base_url, token))
        if gate is None:
            window = Window(period=period, limit=total_permitted)
            gate = Gate(window, max_per_second=max_per_second)
            self._gates[base_url, token] = gate
        return Session(wire, gate, base_url=base_url, retry=retry, observer=observer)
