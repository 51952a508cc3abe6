"""Which hosts a load test may be sent to: loopback, and hosts that the caller has named."""

from __future__ import annotations

import ipaddress
from collections.abc import Collection
from urllib.parse import urlsplit

from .errors import HostNotOwned


def host_of(base_url: str) -> str:
    """Return the host of a base URL in lower case, without its port."""
    return (urlsplit(base_url).hostname or "").lower()


def check_host(base_url: str, owned: Collection[str]) -> None:
    """Check that a load test may be sent to the host of a base URL.

    Args:
        base_url: The base URL.
        owned: Hosts that the caller has named as their own.

    Raises:
        HostNotOwned: If the host is not loopback and not named.
    """
    host = host_of(base_url)
    if _is_loopback(host) or host in {name.lower().rstrip(".") for name in owned}:
        return
    raise HostNotOwned(
        f"{host} is not this machine. A load test may harm an installation that others use. If you may test"
        f" it, add --i-own-this {host}"
    )


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
