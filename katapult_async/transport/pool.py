"""What several clients share: connections, DNS, a TLS context, one rate window per token.

The pool opens and closes. It sends no requests.
"""

from __future__ import annotations

import asyncio
import ssl
from types import TracebackType

import aiohttp

from katapult_async import __version__
from katapult_async.budget import Budget, SharedGate, as_budget, key_of
from katapult_async.models import Secret
from katapult_async.observer import Observer, check_observer
from katapult_async.ratelimit import Ceiling, GateByType, Window

from .address import HeaderValue, check_base_url, check_count, check_seconds, hide_token
from .aiohttp_wire import AiohttpWire
from .connector import Connector
from .fast.pool import FastPool
from .fast.wire import FastWire, is_tested
from .retry import RetryPolicy, check_retry
from .session import Session
from .wire import DEFAULT_MAX_BODY, Exchange, Timeout, check_timeout


class SessionPool:
    """An asynchronous context manager that several Clients may share.

        async with SessionPool() as pool:
            async with Client(token_a, pool=pool) as one, Client(token_b, pool=pool) as two:
                ...

    Clients of one pool with the same token and base URL share one rate window, because the server
    counts per token. Their total_permitted and rate_window must agree. Each has its own concurrency
    and max_per_second.

    Args:
        ssl_context: Says which certificates are trusted. Default: None, those of the system. For
            installations with a private certificate authority.
        max_body: Bytes of a response that are read at most. A longer response is a ProtocolError.
            Hardly anybody changes it.
        trust_env: Whether to use the proxy settings and .netrc of the environment. Default: False,
            so that only the program decides where the token is sent. For networks with a proxy.
        allow_http: Whether the token may be sent in clear text (`http://`) to other hosts than
            loopback. Default: False. For tests in a closed network.
        fast_path: Whether to send requests on the fast path (docs/fast-path.md) where that is
            possible: with versions of aiohttp that it was tested with, and without trust_env.
            Default: True. False helps to find out whether the fast path causes a problem.
        budget: Shares each token's rate limit with other processes: a Budget, "file" (processes of
            this user on this machine) or the URL of a Redis server. Default: None, only clients of
            this pool share it.

    Raises:
        TypeError: If the budget has the wrong type.
        ValueError: If the budget is another text.
        BudgetError: If the budget cannot be used. Also when the pool is opened.
        RuntimeError: When the pool is opened: if it is open already, or no loop of asyncio runs.
    """

    def __init__(
        self,
        *,
        ssl_context: ssl.SSLContext | None = None,
        max_body: int = DEFAULT_MAX_BODY,
        trust_env: bool = False,
        allow_http: bool = False,
        fast_path: bool = True,
        budget: Budget | str | None = None,
    ) -> None:
        self._ssl = ssl_context
        self._max_body = max_body
        self._trust_env = trust_env
        self._allow_http = allow_http
        # The fast path does not support proxies.
        self._fast_path = fast_path and not trust_env
        self._connector: Connector | None = None
        self._fast_pool: FastPool | None = None
        self._sessions: set[Session] = set()
        self._budget = as_budget(budget)
        self._gates: dict[tuple[str, Secret], GateByType | SharedGate] = {}
        # total_permitted as clients gave it. The window may have learnt another limit since.
        self._given: dict[tuple[str, Secret], int] = {}

    def __repr__(self) -> str:
        state = "open" if self._connector is not None else "closed"
        wire = repr(self._fast_pool) if self._fast_pool is not None else "aiohttp's client"
        return f"<SessionPool {state}, {len(self._sessions)} sessions, {len(self._gates)} tokens, {wire}>"

    async def __aenter__(self) -> SessionPool:
        if self._connector is not None:
            raise RuntimeError(
                "this SessionPool is already open: enter it once, and share it between clients"
            )
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            raise RuntimeError(
                "katapult_async needs asyncio: it does not run on trio or another event loop"
            ) from None
        if self._budget is not None:
            await self._budget.check()
        self._connector = Connector(ssl_context=self._ssl)
        if self._fast_path and is_tested(aiohttp.__version__):
            self._fast_pool = FastPool(self._connector, max_body=self._max_body)
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        connector, self._connector = self._connector, None
        fast_pool, self._fast_pool = self._fast_pool, None
        for session in list(self._sessions):
            await self.close_session(session)
        for key, gate in list(self._gates.items()):
            if isinstance(gate, SharedGate):
                del self._gates[key]
                await gate.aclose()
        if fast_pool is not None:
            fast_pool.close()
        if connector is not None:
            await connector.close()

    def session(
        self,
        api_token: str | Secret,
        *,
        base_url: str,
        timeout: Timeout,
        retry: RetryPolicy,
        period: float = 60.0,
        total_permitted: int | None = None,
        max_per_second: float | None = None,
        observer: Observer | None = None,
    ) -> Session:
        """Create a session for this token.

        All sessions with the same token and base URL share one gate.

        Args:
            api_token: The token.
            base_url: The installation.
            timeout: Time-outs of each request.
            retry: When a failed request is sent again.
            period: Length of the rate window, in seconds.
            total_permitted: Requests per window, if the caller knows it.
            max_per_second: The caller's own limit of requests per second; None for none.
            observer: Gets the events of this session.

        Returns:
            The session. `close_session` closes it.

        Raises:
            TypeError: If an argument has the wrong type.
            ValueError: If the token, the base URL or a number cannot be used, or if `period` or
                `total_permitted` contradicts the rate window that sessions of this token share.
            RuntimeError: If the pool is closed.
        """
        token, problem = hide_token(api_token)
        del api_token
        if problem is not None:
            raise problem
        base_url = check_base_url(base_url, allow_http=self._allow_http)
        check_timeout(timeout)
        check_retry(retry)
        if observer is not None:
            check_observer(observer)
        check_seconds("rate_window", period)
        if total_permitted is not None:
            check_count("total_permitted", total_permitted)
        if self._connector is None:
            raise RuntimeError("the SessionPool is not open: use it, and its clients, inside 'async with'")
        ceiling = Ceiling(max_per_second) if max_per_second is not None else None
        gate = self._gate((base_url, token), period, total_permitted, timeout)
        wire = self._wire(self._connector, token, timeout)
        session = Session(wire, gate, base_url=base_url, retry=retry, ceiling=ceiling, observer=observer)
        self._sessions.add(session)
        return session

    def _gate(
        self, key: tuple[str, Secret], period: float, total_permitted: int | None, timeout: Timeout
    ) -> GateByType | SharedGate:
        gate = self._gates.get(key)
        if gate is None:
            gate = self._gates[key] = self._new_gate(key, period, total_permitted, timeout)
        elif period != gate.window.period:
            raise ValueError(
                f"rate_window={period:g} contradicts rate_window={gate.window.period:g} of another client with the"
                " same token in this pool"
            )
        elif total_permitted is not None:
            given = self._given.get(key)
            if given is None:
                if isinstance(gate, GateByType):
                    gate.window.adopt_limit(total_permitted)
                else:
                    gate.serve_also(timeout=timeout.total, limit=total_permitted)
            elif given != total_permitted:
                raise ValueError(
                    f"total_permitted={total_permitted} contradicts total_permitted={given} of another client with"
                    " the same token in this pool"
                )
        if total_permitted is not None:
            self._given[key] = total_permitted
        if isinstance(gate, SharedGate):
            gate.serve_also(timeout=timeout.total, limit=None)
        return gate

    def _new_gate(
        self, key: tuple[str, Secret], period: float, total_permitted: int | None, timeout: Timeout
    ) -> GateByType | SharedGate:
        if self._budget is None:
            return GateByType(Window.start(period=period, limit=total_permitted))
        base_url, token = key
        store = self._budget.store(key_of(token.reveal(), base_url))
        return SharedGate(store, period=period, limit=total_permitted, timeout=timeout.total)

    async def close_session(self, session: Session) -> None:
        """Close a session. The pool keeps the state of its token's rate window.

        Args:
            session: A session of this pool. It may be closed already.
        """
        self._sessions.discard(session)
        await session.close()

    def _wire(self, connector: Connector, token: Secret, timeout: Timeout) -> Exchange:
        headers = {
            "Authorization": HeaderValue(f"Bearer {token.reveal()}"),
            "Accept": "application/json",
            "Accept-Encoding": "identity",
            "User-Agent": f"katapult-async/{__version__}",
        }
        plain = AiohttpWire(
            connector, headers=headers, timeout=timeout, max_body=self._max_body, trust_env=self._trust_env
        )
        if self._fast_pool is None:
            return plain
        return FastWire(self._fast_pool, plain, headers=headers, timeout=timeout)
