"""Writes the JSON schemas of load tests: `python -m katapult_async.load.schemas docs/schemas`."""

from __future__ import annotations

import sys
from pathlib import Path

import msgspec

from katapult_async.jobs.report.schemas import schema_text

from .comparing import ComparisonDocument
from .result import LoadResult

#: The schemas of this package, by file.
LOAD_DOCUMENTS: dict[str, type[msgspec.Struct]] = {
    "load": LoadResult,
    "load-comparison": ComparisonDocument,
}


def schemas() -> dict[str, str]:
    """Return the text of each schema by the name of its file."""
    return {f"{name}.json": schema_text(document) for name, document in LOAD_DOCUMENTS.items()}


def main(folder: str) -> None:
    """Write every schema into a folder."""
    for name, text in schemas().items():
        Path(folder, name).write_text(text, "utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
