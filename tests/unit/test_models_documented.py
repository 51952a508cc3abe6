"""The OpenAPI document and the types agree.

Every field that may be null may be None, and every word and code is known. The document is not part
of this project. Where it is not next to the checkout, these tests check nothing.
"""

from __future__ import annotations

import json
from functools import lru_cache
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules
from typing import Any, cast

import pytest
from msgspec import inspect

from katapult_async import resources
from katapult_async.errors import CODES
from katapult_async.models import Secret
from katapult_async.models import responses as r
from katapult_async.models.enums import FileSystem, ResizeMethod
from katapult_async.transport.operation import Operation

OPENAPI = Path(__file__).parents[3] / "shared" / "katapult-core-openapi.json"
pytestmark = pytest.mark.skipif(
    not OPENAPI.exists(), reason="the OpenAPI document is not beside this checkout"
)


def operations() -> list[Operation[Any]]:
    """The operations of all methods of the client: constants of the modules of `resources`."""
    modules = [
        import_module(f"{resources.__name__}.{found.name}") for found in iter_modules(resources.__path__)
    ]
    constants = [value for module in modules for value in vars(module).values()]
    found = cast("list[Operation[Any]]", [one for one in constants if isinstance(one, Operation)])
    return sorted(set(found), key=lambda one: one.name)


OPERATIONS = operations()
SCALARS = {
    "string": inspect.StrType,
    "integer": inspect.IntType,
    "boolean": inspect.BoolType,
    "number": inspect.FloatType,
}


@lru_cache(maxsize=1)
def document() -> dict[str, Any]:
    return cast("dict[str, Any]", json.loads(OPENAPI.read_text()))


def documented(operation: Operation[Any]) -> dict[str, Any]:
    described: dict[str, Any] = document()["paths"][operation.path][operation.method.lower()]
    return described


def resolved(schema: dict[str, Any]) -> dict[str, Any]:
    """Return the schema that `$ref` or a single `allOf` points to. Keep `nullable` on the way."""
    nullable = schema.get("nullable", False)
    while "$ref" in schema or "allOf" in schema:
        if "allOf" in schema:
            (schema,) = schema["allOf"]
        else:
            target: Any = document()
            for part in schema["$ref"].removeprefix("#/").split("/"):
                target = target[part]
            schema = target
        nullable = nullable or schema.get("nullable", False)
    return {**schema, "nullable": nullable}


@pytest.mark.parametrize("operation", OPERATIONS, ids=str)
def test_every_documented_success_fits_its_struct(operation: Operation[Any]) -> None:
    answers, struct = documented(operation)["responses"], operation.returns
    (success,) = [answer for status, answer in answers.items() if status.startswith("2")]
    assert_fits(inspect.type_info(struct), success["content"]["application/json"]["schema"], struct.__name__)


def assert_fits(
    kept: inspect.Type, schema: dict[str, Any], where: str, within: tuple[type, ...] = ()
) -> None:
    said = resolved(schema)
    options = kept.types if isinstance(kept, inspect.UnionType) else (kept,)
    if said["nullable"]:
        assert any(isinstance(option, inspect.NoneType) for option in options), f"{where} may be null"
    (option,) = [option for option in options if not isinstance(option, inspect.NoneType)]
    if isinstance(option, inspect.StructType):
        if option.cls in within:
            return  # a template has a version, which has a template
        for field in option.fields:
            inner = said["properties"].get(field.encode_name)
            if inner is None:
                assert not field.required, f"{where}.{field.name} is never said here"
            else:
                assert_fits(field.type, inner, f"{where}.{field.name}", (*within, option.cls))
    elif isinstance(option, inspect.VarTupleType):
        assert said["type"] == "array"
        assert_fits(option.item_type, said["items"], f"{where}[]", within)
    elif isinstance(option, inspect.EnumType) and option.cls is Secret:
        assert said["type"] == "string"
    elif isinstance(option, inspect.EnumType):
        assert {word.value for word in option.cls} == set(said["enum"]), where
    else:
        assert isinstance(option, SCALARS[said["type"]]), where


def test_the_words_of_requests_are_the_documented_ones() -> None:
    schemas = document()["components"]["schemas"]
    assert {word.value for word in FileSystem} == set(schemas["FileSystemEnum"]["enum"])
    assert {word.value for word in ResizeMethod} == set(schemas["ResizeMethodEnum"]["enum"])


def test_every_code_documented_for_an_operation_is_in_the_table() -> None:
    codes: set[str] = set()
    for operation in OPERATIONS:
        for status, answer in documented(operation)["responses"].items():
            if not status.startswith("2"):
                codes |= documented_codes(answer)
    assert {"unable_to_assign", "disk_not_found", "rate_limit_reached", "scope_not_granted"} <= codes
    assert codes <= set(CODES)


def documented_codes(node: object) -> set[str]:
    """Every value that a property named `code` may have, wherever it stands below the node."""
    if isinstance(node, list):
        return set[str]().union(*(documented_codes(item) for item in cast("list[object]", node)))
    if not isinstance(node, dict):
        return set()
    schema = resolved(cast("dict[str, Any]", node)) if "$ref" in node else cast("dict[str, Any]", node)
    code = schema.get("properties", {}).get("code")
    if code is not None:
        return set(resolved(code)["enum"])
    return set[str]().union(*(documented_codes(value) for value in schema.values()))


def test_every_field_of_the_assign_page_is_in_the_models() -> None:
    answer = document()["paths"]["/disks/disk/assign"]["post"]["responses"]["200"]
    assert_whole(inspect.type_info(r.DiskResponse), answer["content"]["application/json"]["schema"], "")


def assert_whole(
    kept: inspect.Type, schema: dict[str, Any], where: str, within: tuple[type, ...] = ()
) -> None:
    said = resolved(schema)
    options = kept.types if isinstance(kept, inspect.UnionType) else (kept,)
    (option,) = [option for option in options if not isinstance(option, inspect.NoneType)]
    if isinstance(option, inspect.VarTupleType):
        assert_whole(option.item_type, said["items"], f"{where}[]", within)
    elif isinstance(option, inspect.StructType) and option.cls not in within:
        fields = {field.encode_name: field.type for field in option.fields}
        for name, inner in said["properties"].items():
            assert name in fields, f"{where}.{name} is not in the models"
            assert_whole(fields[name], inner, f"{where}.{name}", (*within, option.cls))
