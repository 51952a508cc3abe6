"""Write the JSON schemas: `python -m katapult_async.jobs.report.schemas docs/schemas`.

They are generated from the structs that are encoded, so both always agree.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import msgspec

from .command_documents import COMMAND_DOCUMENTS
from .documents import DOCUMENTS


def schemas() -> dict[str, str]:
    """Return the text of each schema by the name of its file."""
    return {
        f"{name}.json": schema_text(document) for name, document in {**DOCUMENTS, **COMMAND_DOCUMENTS}.items()
    }


def schema_text(document: type[msgspec.Struct]) -> str:
    """Return the schema of a document, as text of a file."""
    schema: dict[str, Any] = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": document.__struct_config__.tag,
        **msgspec.json.schema(document),
    }
    definitions: dict[str, dict[str, Any]] = schema["$defs"]
    for definition in definitions.values():
        # A later version of this package may add fields. Tests check that today's documents have
        # these fields only.
        definition.pop("additionalProperties", None)
        for field in definition.get("properties", {}).values():
            # Only some versions of msgspec add the keys of a mapping.
            field.pop("propertyNames", None)
        # A docstring has line breaks. A description has none.
        if "description" in definition:
            definition["description"] = " ".join(definition["description"].split())
    return json.dumps(schema, indent=2) + "\n"


def main(folder: str) -> None:
    """Write every schema into a folder."""
    for name, text in schemas().items():
        Path(folder, name).write_text(text, "utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
