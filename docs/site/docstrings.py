"""From the docstrings of the package to reStructuredText, before napoleon reads their sections.

The docstrings are Google style. Examples are indented by four spaces, without `::`, and tables are
Markdown, because both are then readable in an editor.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

_SECTION = re.compile(r"(Args|Attributes|Returns|Raises|Yields|Note|Example):$")


def as_rst(lines: Sequence[str]) -> list[str]:
    """Return a docstring with its examples as code blocks and its tables as list tables."""
    found: list[str] = []
    rest = list(lines)
    while rest:
        line = rest.pop(0)
        if line.lstrip().startswith("|"):
            table = [line]
            while rest and rest[0].lstrip().startswith("|"):
                table.append(rest.pop(0))
            found += _table(table)
        elif _begins_example(line, found):
            found += [".. code-block:: text" if _is_text(line) else ".. code-block:: python", "", line]
            while rest and (not rest[0].strip() or rest[0].startswith("    ")):
                found.append(rest.pop(0))
            found.append("")
        else:
            found.append(line)
    return found


def readable_signature(signature: str) -> str:
    """Return a signature without the metadata of annotations, and with `...` for made defaults.

    `~typing.Annotated[int, Meta(…)]` becomes `int`. Sphinx shows the module of a name with `~` if
    it cannot read the rest of the signature.
    """
    found = ""
    rest = re.sub(r"~(?:\w+\.)+(?=\w)", "", signature)
    rest = rest.replace("=<factory>", "=...").replace("= <factory>", "= ...")
    while True:
        before, annotated, rest = rest.partition("Annotated[")
        found += before
        if not annotated:
            return found
        parts = _arguments(rest)
        found += readable_signature(parts[0])
        rest = rest[sum(map(len, parts)) + len(parts) :]


def _arguments(text: str) -> list[str]:
    """Return the parts between commas, up to the bracket that closes the text."""
    parts = [""]
    depth = 0
    # A text in quotes may have brackets and commas.
    for piece in re.findall(r"'(?:\\.|[^'\\])*'|\"(?:\\.|[^\"\\])*\"|.", text, re.DOTALL):
        if depth == 0 and piece == "]":
            return parts
        depth += (piece in "[({") - (piece in "])}")
        if depth == 0 and piece == ",":
            parts.append("")
        else:
            parts[-1] += piece
    raise ValueError(f"no bracket closes {text[:50]!r}")


def comment_of(name: str) -> list[str]:
    """Return the `#:` comment above a name of a package, which autodoc finds only where it stands.

    Args:
        name: The name with its package, for example `katapult_async.errors.CODES`.
    """
    package, _, last = name.rpartition(".")
    folder = Path(__file__).parents[2] / package.replace(".", "/")
    for path in sorted(folder.glob("*.py")):
        found = re.search(rf"((?:^ *#:.*\n)+)^ *{last}\b.*=", path.read_text("utf-8"), re.MULTILINE)
        if found is not None:
            return [line.strip()[2:].strip() for line in found[1].splitlines()]
    return []


def _begins_example(line: str, before: Sequence[str]) -> bool:
    """Return whether an indented line begins an example. The lines of a section are no example."""
    if not line.startswith("    ") or not before or before[-1].strip():
        return False
    outer = next((text for text in reversed(before) if text.strip() and not text.startswith(" ")), "")
    return not _SECTION.match(outer)


def _is_text(line: str) -> bool:
    return re.search(r"\S {2,}\S|, \S+ \(", line) is not None


def _table(rows: Sequence[str]) -> list[str]:
    indent = rows[0][: len(rows[0]) - len(rows[0].lstrip())]
    found = [f"{indent}.. list-table::", f"{indent}   :header-rows: 1", ""]
    for row in rows:
        cells = [cell.strip() for cell in row.strip().strip("|").split("|")]
        if all(re.fullmatch(r":?-+:?", cell) for cell in cells):
            continue
        for number, cell in enumerate(cells):
            found.append(f"{indent}   {'* -' if number == 0 else '  -'} {cell}")
    return [*found, ""]
