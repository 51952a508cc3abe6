"""The result of a benchmark, as text, Markdown and JSON.

It has tables, checks, notes and raw numbers.
"""

from __future__ import annotations

from pathlib import Path

import msgspec

from .machine import Machine

Cell = str | int | float | None


class Table(msgspec.Struct, frozen=True):
    """columns[0] names the rows. A cell of None is a dash."""

    title: str
    columns: list[str]
    rows: list[list[Cell]]


class Check(msgspec.Struct, frozen=True):
    """A promise of the project, and whether it held.

    Attributes:
        fatal: The program exits with 1 if the promise did not hold.
    """

    promise: str
    holds: bool
    found: str
    fatal: bool = True

    def __str__(self) -> str:
        verdict = "holds" if self.holds else "BROKEN" if self.fatal else "not kept (reported only)"
        return f"{self.promise}: {verdict}; {self.found}"


def wish(promise: str, *, holds: bool, found: str) -> Check:
    """Return a check of a time on a real clock.

    It fails no program, because the time depends on the machine and its neighbours.
    """
    return Check(promise, holds, found, fatal=False)


class Result(msgspec.Struct, kw_only=True):
    """One run of one benchmark.

    Attributes:
        plots: File name -> SVG. They are stored next to the JSON, not in it.
    """

    name: str
    command: str
    quick: bool
    began: str = ""
    seconds: float = 0.0
    machine: Machine
    tables: list[Table] = []
    checks: list[Check] = []
    notes: list[str] = []
    data: dict[str, object] = {}
    plots: dict[str, str] = {}

    @property
    def ok(self) -> bool:
        return all(check.holds or not check.fatal for check in self.checks)


def as_text(table: Table) -> str:
    """For a terminal: aligned columns."""
    rows = [table.columns, *([shown(cell) for cell in row] for row in table.rows)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(table.columns))]
    lines = [table.title, ""]
    for number, row in enumerate(rows):
        cells = [
            cell.ljust(width) if column == 0 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append("  ".join(cells).rstrip())
        if number == 0:
            lines.append("  ".join("-" * width for width in widths))
    return "\n".join(lines)


def as_markdown(table: Table) -> str:
    """For a page."""
    lines = [f"**{table.title}**", "", _row(table.columns)]
    lines.append(_row(["---", *("---:" for _ in table.columns[1:])]))
    lines += [_row([shown(cell) for cell in row]) for row in table.rows]
    return "\n".join(lines)


def _row(cells: list[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def shown(cell: Cell) -> str:
    """Numbers with three or four figures, thousands apart."""
    if cell is None:
        return "-"
    if isinstance(cell, float):
        if abs(cell) >= 1000:
            return f"{cell:,.0f}"
        if abs(cell) >= 100:
            return f"{cell:.0f}"
        return f"{cell:.1f}" if abs(cell) >= 10 else f"{cell:.2f}"
    return f"{cell:,}" if isinstance(cell, int) else cell


def write(result: Result, directory: Path) -> list[Path]:
    """NAME.json and the plots; the paths written."""
    directory.mkdir(parents=True, exist_ok=True)
    kept = msgspec.structs.replace(result, plots=dict.fromkeys(result.plots, ""))
    paths = [directory / f"{result.name}.json"]
    paths[0].write_bytes(msgspec.json.format(msgspec.json.encode(kept), indent=1) + b"\n")
    for name, svg in result.plots.items():
        path = directory / name
        path.write_text(svg)
        paths.append(path)
    return paths


def read(path: Path) -> Result:
    """A result that was written before; its plots are file names without their contents."""
    return msgspec.json.decode(path.read_bytes(), type=Result)
