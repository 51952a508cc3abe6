"""The JSON documents of the commands, from the schemas in docs/schemas."""

from __future__ import annotations

import json
import re
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
        description, meanings = _described(definition)
        if description:
            parts += [cell(description), ""]
        if "enum" in definition:
            parts += ["One of " + ", ".join(code(str(value)) for value in definition["enum"]) + ".", ""]
        if properties := definition.get("properties"):
            parts += [table(("key", "type", "meaning"), _rows(properties, meanings)), ""]
    return "\n".join(parts)


def _described(definition: _Schema) -> tuple[str, dict[str, str]]:
    """Return a description, and the meaning of each key that it explains."""
    text = str(definition.get("description", ""))
    keys = "|".join(map(re.escape, definition.get("properties", ()))) or "$^"
    # A docstring in one line: "A text. Attributes: one: Its meaning. two, three: Their meaning."
    head, *rest = re.split(rf"(?<=\. )(?:Attributes: )?((?:{keys})(?:, (?:{keys}))*): ", text)
    meanings: dict[str, str] = {}
    for names, meaning in zip(rest[::2], rest[1::2], strict=True):
        meanings |= dict.fromkeys(names.split(", "), meaning[:1].upper() + meaning[1:].strip())
    return head.strip(), meanings


def _rows(properties: dict[str, _Schema], meanings: dict[str, str]) -> list[tuple[str, str, str]]:
    return [
        (code(key), cell(_type(value)), cell(value.get("description", meanings.get(key, ""))))
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
