"""The arguments of one request, read and refused like in Katapult's framework (apia).

It checks shapes only. The world knows whether a disk exists.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, cast

import msgspec

from katapult_async.testing.refusals import Refusal, invalid_argument, missing_argument

DEFAULT_PER_PAGE = 30
MOST_PER_PAGE = 200
#: The deepest nesting that Ruby's parser accepts.
_DEEPEST = 100
_INTEGER = re.compile(r"-?[0-9]+")
_TRUE = (True, "true", "yes", 1, "1")
_FALSE = (False, "false", "no", 0, "0")


def from_query(pairs: Iterable[tuple[str, str]]) -> dict[str, Any]:
    """Parse `disk[id]=x&page=2` as {"disk": {"id": "x"}, "page": "2"}. `a[][key]=x` is a list."""
    arguments: dict[str, Any] = {}
    for key, value in pairs:
        name, bracket, rest = key.partition("[")
        if not bracket:
            arguments[name] = value
        elif rest.startswith("]["):
            _append(arguments.setdefault(name, []), rest[2:].rstrip("]"), value)
        else:
            inner = arguments.setdefault(name, {})
            if isinstance(inner, dict):
                inner[rest.rstrip("]")] = value
    return arguments


def _append(objects: object, key: str, value: str) -> None:
    """Set a key of the last object, or of a new object if the last one already has this key."""
    if not isinstance(objects, list):
        return
    items = cast("list[dict[str, str]]", objects)
    if not items or key in items[-1]:
        items.append({})
    items[-1][key] = value


def from_body(body: bytes, content_type: str) -> dict[str, Any]:
    """Return the JSON object of a body. A body of another type, or no object, has no arguments."""
    if not body or not content_type.startswith("application/json"):
        return {}
    too_deep = Refusal("invalid_json_body", details=f"nesting of {_DEEPEST + 1} is too deep")
    try:
        decoded = msgspec.json.decode(body)
    except RecursionError:
        raise too_deep from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Refusal("invalid_json_body", details=str(error)) from error
    if _depth_is_suspect(body) and _is_deeper(decoded, _DEEPEST):
        raise too_deep
    return cast("dict[str, Any]", decoded) if isinstance(decoded, dict) else {}


def _depth_is_suspect(body: bytes) -> bool:
    return body.count(b"[") + body.count(b"{") > _DEEPEST


def _is_deeper(decoded: object, most: int) -> bool:
    layer = [decoded]
    for _ in range(most):
        layer = [inner for outer in layer for inner in _items(outer)]
        if not layer:
            return False
    return any(isinstance(value, (dict, list)) for value in layer)


def _items(value: object) -> Iterator[object]:
    if isinstance(value, dict):
        yield from cast("dict[str, object]", value).values()
    elif isinstance(value, list):
        yield from cast("list[object]", value)


def merged(query: dict[str, Any], body: dict[str, Any]) -> dict[str, Any]:
    """Merge query and body, objects key by key. The body takes precedence."""
    together = dict(query)
    for key, value in body.items():
        known = together.get(key)
        if isinstance(known, dict) and isinstance(value, dict):
            together[key] = merged(cast("dict[str, Any]", known), cast("dict[str, Any]", value))
        else:
            together[key] = value
    return together


def peek(values: Mapping[str, Any], name: str, key: str) -> str | None:
    """Return `name[key]` if it is a string, else None. Refuses nothing."""
    value = values.get(name)
    if not isinstance(value, dict):
        return None
    found = cast("dict[str, Any]", value).get(key)
    return found if isinstance(found, str) else None


class Arguments:
    """An object of arguments, and its path in the request. Each method reads one argument."""

    def __init__(self, values: Mapping[str, Any], path: tuple[str, ...] = ()) -> None:
        self._values = values
        self._path = path

    def __contains__(self, name: str) -> bool:
        """Return whether the argument was given, even as null."""
        return name in self._values

    def has(self, name: str) -> bool:
        """Return whether the argument was given and is not null."""
        return self._values.get(name) is not None

    def lookup(self, name: str, *keys: str) -> tuple[str, str]:
        """Return the key and value of the lookup `name`: exactly one of `keys`."""
        wanted = self.object(name)
        given = [key for key in keys if key in wanted]
        if not given:
            raise self._invalid(name, "missing_lookup_value")
        values = {key: text for key in given if (text := wanted.text(key)) is not None}
        if len(values) > 1:
            raise self._invalid(name, "ambiguous_lookup_values")
        # A lookup by null is valid and finds nothing.
        return next(iter(values.items()), (given[0], ""))

    def object(self, name: str) -> Arguments:
        """Return a required object."""
        value = self.required(name)
        if not isinstance(value, dict):
            raise self._invalid(name, "object_expected")
        return Arguments(cast("dict[str, Any]", value), (*self._path, name))

    def objects(self, name: str) -> list[Arguments] | None:
        """Return an optional list of objects."""
        value = self._values.get(name)
        if value is None:
            return None
        if not isinstance(value, list):
            raise self._invalid(name, "array_expected")
        items = cast("list[object]", value)
        if not all(isinstance(item, dict) for item in items):
            raise self._invalid(name, "object_expected")
        return [Arguments(cast("dict[str, Any]", item), (*self._path, name)) for item in items]

    def integer(self, name: str, default: int | None = None) -> int:
        """Return an integer: a JSON integer or a string of digits. Required without a default."""
        value = default if default is not None and name not in self._values else self.required(name)
        if isinstance(value, str) and _INTEGER.fullmatch(value):
            return int(value)
        if not isinstance(value, int) or isinstance(value, bool):
            message = "Integer must be provided as an integer or a string only containing numbers"
            raise self._invalid(name, "parse_error", message)
        return value

    def text(self, name: str) -> str | None:
        """Return an optional string."""
        value = self._values.get(name)
        if value is not None and not isinstance(value, str):
            raise self._invalid(name, "invalid_scalar")
        return value

    def choice(self, name: str, allowed: tuple[str, ...]) -> str | None:
        """Return an optional value of an enum."""
        value = self._values.get(name)
        if value is None:
            return None
        if not isinstance(value, str) or value not in allowed:
            raise self._invalid(name, "invalid_enum_value")
        return value

    def flag(self, name: str) -> bool | None:
        """Return an optional boolean, in any spelling of the framework."""
        value = self._values.get(name)
        if value is None or isinstance(value, bool):
            return value
        if value in _TRUE or value in _FALSE:
            return value in _TRUE
        raise self._invalid(name, "parse_error", "Boolean must be provided as true or false")

    def annotations(self) -> list[tuple[str, str | None]] | None:
        """Return the keys and values of `annotations`. None if not given."""
        given = self.objects("annotations")
        if given is None:
            return None
        return [(str(item.required("key")), item.text("value")) for item in given]

    def page(self) -> tuple[int, int]:
        """Return `page` and `per_page`, within the API's limits."""
        number, per_page = self.integer("page", 1), self.integer("per_page", DEFAULT_PER_PAGE)
        if number < 1:
            raise self._invalid("page", "validation_errors", "greater_than_zero")
        if per_page < 1:
            raise self._invalid("per_page", "validation_errors", "greater_than_zero")
        if per_page > MOST_PER_PAGE:
            # The framework's name for the rule, whatever the limit is.
            raise self._invalid("per_page", "validation_errors", "less_than_or_equal_to_one_hundred")
        return number, per_page

    def required(self, name: str) -> Any:
        """Return a required argument of any type."""
        value = self._values.get(name)
        if value is None:
            raise missing_argument((*self._path, name))
        return value

    def _invalid(self, name: str, issue: str, *errors: str) -> Refusal:
        return invalid_argument((*self._path, name), issue, *errors)

    def __repr__(self) -> str:
        return f"Arguments({'.'.join(self._path)}: {', '.join(self._values)})"
