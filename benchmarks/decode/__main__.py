"""`python -m benchmarks.decode`: microseconds per response, in interleaved rounds.

The results are the best and the median of many rounds.
"""

from __future__ import annotations

import gc
import sys
import time
from collections.abc import Callable

from benchmarks import svg
from benchmarks.bodies import assign_response, disk_page
from benchmarks.command import run
from benchmarks.peers import Missing
from benchmarks.result import Cell, Result, Table, wish
from benchmarks.spread import median, spread

from . import decoders
from .decoders import Decode, Decoder

#: As its decoder is called.
DATACLASS = "json + dataclasses"
MAKERS: tuple[Callable[[], Decoder], ...] = (
    decoders.sdk,
    decoders.orjson,
    decoders.plain_json,
    decoders.dataclasses,
    decoders.pydantic,
)


def main() -> int:
    return run(
        "decode",
        measure,
        about="Decoding the assign response and a page of 200 disks: the SDK's structs and what else there is.",
        takes="about half a minute",
    )


def measure(result: Result) -> None:
    known: list[Decoder] = []
    for make in MAKERS:
        try:
            known.append(make())
        except Missing as missing:
            result.notes.append(f"left out, not installed: {missing}")
    assign, page = assign_response(), disk_page()
    for decoder in known:
        if not decoder.first_id(decoder.page(page)).startswith("disk_"):
            raise AssertionError(f"{decoder.name} does not decode the page")
    rounds, seconds = (7, 0.01) if result.quick else (41, 0.05)
    answers = _interleaved({d.name: d.assign for d in known}, assign, rounds, seconds)
    pages = _interleaved({d.name: d.page for d in known}, page, rounds, seconds)
    first = known[0].name
    for what, times in (("answer", answers), ("page", pages)):
        ratio = median([one / ours for one, ours in zip(times[DATACLASS], times[first], strict=True)])
        promise = f"decode: the {what} at least 3 x as fast as {DATACLASS}"
        result.checks.append(wish(promise, holds=ratio >= 3, found=f"x {ratio:.2f}"))
    rows: list[list[Cell]] = []
    for decoder in known:
        name = decoder.name
        cells: list[Cell] = [name]
        for found in (answers, pages):
            ratios = [one / ours for one, ours in zip(found[name], found[first], strict=True)]
            cells += [median(found[name]), spread(found[name]), f"x {median(ratios):.2f}"]
        rows.append(cells)
    columns = ["decoder", "answer µs", "spread", "/ SDK", "page µs", "spread", "/ SDK"]
    title = (
        f"An answer of {len(assign)} bytes and a page of 200 disks of {len(page):,} bytes, {rounds} rounds"
    )
    result.tables.append(Table(title, columns, rows))
    result.data |= {"answer": answers, "page": pages}
    values = [(decoder.name, median(pages[decoder.name])) for decoder in known]
    result.plots["decode.svg"] = svg.bars(
        "Microseconds for a page of 200 disks (less is better)", values, unit="µs"
    )


def _interleaved(
    decodes: dict[str, Decode], body: bytes, rounds: int, seconds: float
) -> dict[str, list[float]]:
    """Microseconds for one call, by name and round."""
    counts = {name: _calls_in(decode, body, seconds) for name, decode in decodes.items()}
    found: dict[str, list[float]] = {name: [] for name in decodes}
    for _ in range(rounds):
        for name, decode in decodes.items():
            gc.collect()
            count = counts[name]
            began = time.process_time_ns()
            for _ in range(count):
                decode(body)
            found[name].append((time.process_time_ns() - began) / 1000 / count)
    return found


def _calls_in(decode: Decode, body: bytes, seconds: float) -> int:
    """About so many calls take so long."""
    count, began = 0, time.perf_counter()
    while time.perf_counter() - began < seconds:
        decode(body)
        count += 1
    return count


if __name__ == "__main__":
    sys.exit(main())
