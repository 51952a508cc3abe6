"""The arguments of one request, from a JSON body or a bracketed query, and the refusals for those that do not fit.

It checks shapes only: whether a disk exists is for the world to say.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, cast

import msgspec

from katapult_async.testing.refusals import Refusal, invalid_argument

DEFAULT_PER_PAGE = 30
MOST_PER_PAGE = 200


def from_query(pairs: Iterable[tuple[str, str]]) -> dict[str, Any]:
    """`disk[id]=x&page=2` -> {"disk": {"id": "x"}, "page": "2"}."""
    arguments: dict[str, Any] = {}
    for key, value in pairs:
        name, bracket, rest = key.partition("[")
        if bracket:
            inner = arguments.setdefault(name, {})
            if isinstance(inner, dict):
                inner[rest.rstrip("]")] = value
        else:
            arguments[name] = value
    return arguments


def from_body(body: bytes) -> dict[str, Any]:
    """The JSON object of a body; an empty body is an object without arguments."""
    if not body:
        return {}
    try:
        return msgspec.json.decode(body, type=dict[str, Any])
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Refusal("invalid_json_body", details=str(error)) from error


def lookup(arguments: Mapping[str, Any], name: str, *keys: str) -> tuple[str, str]:
    """The one key and value by which `name` is to be found: exactly one of `keys`."""
    value = required(arguments, name)
    if not isinstance(value, dict):
        raise invalid_argument(name, "invalid_scalar")
    value = cast("dict[str, Any]", value)
    given = [(key, value[key]) for key in keys if value.get(key) is not None]
    if not given:
        raise invalid_argument(name, "missing_lookup_value")
    if len(given) > 1:
        raise invalid_argument(name, "ambiguous_lookup_values")
    key, wanted = given[0]
    if not isinstance(wanted, str):
        raise invalid_argument(name, "invalid_scalar")
    return key, wanted


def peek(arguments: Mapping[str, Any], name: str, key: str) -> str | None:
    """The value of `name[key]` if it is there and a string; refuses nothing."""
    value = arguments.get(name)
    if not isinstance(value, dict):
        return None
    found = cast("dict[str, Any]", value).get(key)
    return found if isinstance(found, str) else None


def required(arguments: Mapping[str, Any], name: str) -> Any:
    value = arguments.get(name)
    if value is None:
        raise Refusal("missing_required_argument", path=[name], argument=name)
    return value


def mapping(arguments: Mapping[str, Any], name: str) -> dict[str, Any]:
    """A required argument that is an object."""
    value = required(arguments, name)
    if not isinstance(value, dict):
        raise invalid_argument(name, "invalid_scalar")
    return cast("dict[str, Any]", value)


def integer(arguments: Mapping[str, Any], name: str, default: int | None = None) -> int:
    """An integer, also as text as a query has it; required unless there is a default."""
    if default is not None and arguments.get(name) is None:
        return default
    value = required(arguments, name)
    if isinstance(value, str):
        try:
            return int(value)
        except ValueError:
            raise invalid_argument(name, "parse_error") from None
    if not isinstance(value, int) or isinstance(value, bool):
        raise invalid_argument(name, "invalid_scalar")
    return value


def text(arguments: Mapping[str, Any], name: str) -> str | None:
    """An optional string."""
    value = arguments.get(name)
    if value is not None and not isinstance(value, str):
        raise invalid_argument(name, "invalid_scalar")
    return value


def choice(arguments: Mapping[str, Any], name: str, allowed: tuple[str, ...]) -> str | None:
    """An optional value of an enum."""
    value = text(arguments, name)
    if value is not None and value not in allowed:
        raise invalid_argument(name, "invalid_enum_value")
    return value


def flag(arguments: Mapping[str, Any], name: str) -> bool | None:
    """An optional boolean."""
    value = arguments.get(name)
    if value is not None and not isinstance(value, bool):
        raise invalid_argument(name, "invalid_scalar")
    return value


def page_of(arguments: Mapping[str, Any]) -> tuple[int, int]:
    """`page` and `per_page`, with the API's default and its most."""
    number = integer(arguments, "page", 1)
    per_page = integer(arguments, "per_page", DEFAULT_PER_PAGE)
    if number < 1:
        raise invalid_argument("page", "validation_error")
    if per_page < 1:
        raise invalid_argument("per_page", "validation_error")
    return number, min(per_page, MOST_PER_PAGE)
