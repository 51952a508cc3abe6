"""Checks of what the caller configures: base URL, token, counts and times. Sends nothing."""

from __future__ import annotations

import ipaddress
import math
from urllib.parse import urlsplit

from katapult_async.models import Secret

DEFAULT_BASE_URL = "https://api.katapult.io/core/v1"
_DEFAULT_PORTS = {"https": 443, "http": 80}
_HOST_CHARACTERS = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.")


class HeaderValue(str):
    """The value of a header: it is sent, and its repr hides it.

    It is text, because HTTP clients need text.
    """

    __slots__ = ()

    def __repr__(self) -> str:
        return "***"


def check_base_url(base_url: str, *, allow_http: bool) -> str:
    """Return the base URL in its normal form: host in lower case, no default port, no final slash.

    Clients share a rate window if these texts are equal.

    Args:
        base_url: What the caller gave.
        allow_http: Whether http:// is allowed for hosts other than loopback.

    Raises:
        TypeError: If the base URL is not text.
        ValueError: If the base URL cannot be used. The message says why.
    """
    if not isinstance(base_url, str):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise TypeError(f"base_url must be text like {DEFAULT_BASE_URL}, not {_kind(base_url)}")
    try:
        parts = urlsplit(base_url)
        port = parts.port
    except ValueError:
        raise ValueError(
            f"the base URL must look like {DEFAULT_BASE_URL}, not {_shown(base_url)!r}"
        ) from None
    host = parts.hostname
    if parts.scheme not in ("https", "http") or not host or not _is_host(host) or port == 0:
        raise ValueError(f"the base URL must look like {DEFAULT_BASE_URL}, not {_shown(base_url)!r}")
    if parts.username is not None or parts.password is not None:
        raise ValueError("the base URL must not contain a user name or a password")
    if parts.query or parts.fragment:
        raise ValueError("the base URL must not contain '?' or '#'")
    if parts.scheme == "http" and not allow_http and not _is_loopback(host):
        raise ValueError(
            f"refusing to send the API token in clear text to http://{host}: use https://, or pass allow_http=True"
        )
    name = f"[{host}]" if ":" in host else host
    at = "" if port is None or port == _DEFAULT_PORTS[parts.scheme] else f":{port}"
    return f"{parts.scheme}://{name}{at}{parts.path.rstrip('/')}"


def is_same_base_url(one: str, other: str) -> bool:
    """Return whether two texts name the same installation."""
    if one == other:
        return True
    try:
        return check_base_url(one, allow_http=True) == check_base_url(other, allow_http=True)
    except ValueError:
        return False


def _shown(base_url: str) -> str:
    # A caller who mixes up two settings passes the token here.
    return (
        base_url[:3] + "…"
        if len(base_url) > 3 and "://" not in base_url
        else base_url.rpartition("@")[2][:100]
    )


def _kind(value: object) -> str:
    # The value itself may be the token.
    return "None" if value is None else f"an object of type {type(value).__name__}"


def _is_host(host: str) -> bool:
    """Return whether this is an IP address or a name that can be looked up.

    Looking up any other text raises an exception that is not an OSError.
    """
    try:
        ipaddress.ip_address(host)
    except ValueError:
        pass
    else:
        return True
    try:
        name = host.encode("idna").decode()
    except UnicodeError:
        return False
    return len(name) <= 253 and not set(name) - _HOST_CHARACTERS


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def check_count(name: str, value: object) -> None:
    """Raise TypeError or ValueError unless `value` is an integer of at least 1."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{name} must be an integer, not {value!r}")
    if value < 1:
        raise ValueError(f"{name} must be at least 1, not {value!r}")


def check_seconds(name: str, value: object) -> None:
    """Raise TypeError or ValueError unless `value` is a positive, finite number of seconds."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f"{name} must be a number of seconds, not {value!r}")
    if not 0 < value < math.inf:  # also refuses NaN
        raise ValueError(f"{name} must be positive and finite, not {value!r}")


def check_delay(name: str, value: object) -> None:
    """Raise TypeError or ValueError unless `value` is a finite number of seconds, not negative."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f"{name} must be a number of seconds, not {value!r}")
    if not 0 <= value < math.inf:  # also refuses NaN
        raise ValueError(f"{name} must be finite and not negative, not {value!r}")


def check_instance(name: str, value: object, kind: type, advice: str) -> None:
    """Raise TypeError unless `value` is an instance of `kind`.

    Args:
        name: The setting.
        value: What the caller gave.
        kind: The type that the setting must have.
        advice: What to pass instead.
    """
    if not isinstance(value, kind):
        found = value.__name__ if isinstance(value, type) else repr(value)[:50]
        raise TypeError(f"{name} must be a {kind.__name__}, not {found}: {advice}")


def hide_token(api_token: object) -> tuple[Secret, Exception | None]:
    """Hide the token, and return what is wrong with it.

    A function that gets a token calls this first and forgets the text. Otherwise a traceback with
    local variables shows the token.

    Args:
        api_token: What the caller gave: text or a Secret.

    Returns:
        The token, and a TypeError or ValueError if no header can carry it. Its message does not
        show the token.
    """
    if isinstance(api_token, Secret):
        try:
            api_token = api_token.reveal()
        except ValueError as problem:
            return Secret.MASKED, problem
    if not isinstance(api_token, str):
        return Secret.MASKED, TypeError(f"the API token must be text, not {_kind(api_token)}")
    if not api_token:
        return Secret.MASKED, ValueError("the API token is empty")
    for position, character in enumerate(api_token, start=1):
        if not "!" <= character <= "~":
            kind = "white space" if character.isspace() else "an invalid character"
            return Secret.MASKED, ValueError(
                f"the API token has {kind} at position {position} of {len(api_token)}: copy the whole token"
                " and nothing else"
            )
    return Secret(str(api_token)), None
