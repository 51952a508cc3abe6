"""The JSON documents of the commands, from the schemas in docs/schemas."""

from __future__ import annotations

import json
from typing import Any, cast

from docs.site.markdown import cell, code, table
from katapult_async.jobs.report.schemas import schemas as schema_texts

_Schema = dict[str, Any]


def schemas() -> str:
    """Return a section for each document, with a table for each of its objects."""
    return "\n".join(_section(name, json.loads(text)) for name, text in schema_texts().items())


def _section(file: str, schema: _Schema) -> str:
    definitions: dict[str, _Schema] = schema["$defs"]
    root = schema["$ref"].rpartition("/")[2]
    stem = file.removesuffix(".json")
    parts = [f"(schema-{stem})=", f"## `{schema['title']}`", ""]
    parts += [f"Schema: {{download}}`{file} <../schemas/{file}>`", ""]
    for name in [root, *(name for name in definitions if name != root)]:
        definition = definitions[name]
        if name != root:
            parts += [f"**{name}**", ""]
        if description := definition.get("description"):
            parts += [cell(description), ""]
        if "enum" in definition:
            parts += ["One of " + ", ".join(code(str(value)) for value in definition["enum"]) + ".", ""]
        if properties := definition.get("properties"):
            parts += [table(("key", "type", "meaning"), _rows(properties)), ""]
    return "\n".join(parts)


def _rows(properties: dict[str, _Schema]) -> list[tuple[str, str, str]]:
    return [
        (code(key), cell(_type(value)), cell(value.get("description", "")))
        for key, value in properties.items()
    ]


def _type(value: _Schema) -> str:
    if "$ref" in value:
        return str(value["$ref"]).rpartition("/")[2]
    if "anyOf" in value:
        return " or ".join(_type(each) for each in cast("list[_Schema]", value["anyOf"]))
    if "enum" in value:
        return ", ".join(map(str, value["enum"]))
    if value.get("type") == "array" and "items" in value:
        return f"array of {_type(value['items'])}"
    return str(value.get("type", "any"))
