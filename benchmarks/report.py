"""`python -m benchmarks.report`: puts the tables of the results into the page, between its markers.

    <!-- benchmark: NAME -->
    …
    <!-- /benchmark -->

The program replaces the text between the markers and leaves the rest of the page as it is.
`benchmark: NAME table 1` is the first table alone, `benchmark: NAME checks` the checks alone. The
page is benchmarks/README.md, or each that is named. The program measures nothing. With `--check` it
changes nothing and says whether the pages are up to date.
"""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path

from .command import RESULTS
from .result import Result, as_markdown, read

PAGE = Path(__file__).parent / "README.md"
_SECTION = re.compile(
    r"(<!-- benchmark: (?P<name>\w+)(?P<part> table (?P<table>\d+)| checks)? -->\n).*?(<!-- /benchmark -->)",
    re.DOTALL,
)
_PLOTS = {
    "scheduling-seconds.svg": "Accepted and refused by the second, on an aligned window",
    "scheduling-seconds-more.svg": "The same, with a limit that changes and with two users",
}


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.report", description="Put the tables of the results into the page."
    )
    parser.add_argument("--results", type=Path, default=RESULTS, help="where the JSON files are")
    parser.add_argument("--check", action="store_true", help="only say whether a page would change")
    parser.add_argument("pages", type=Path, nargs="*", default=[PAGE])
    arguments = parser.parse_args()
    results: Path = arguments.results
    pages: list[Path] = arguments.pages
    stale = 0
    for page in pages:
        old = page.read_text()
        new = insert(old, results, page)
        stale += new != old
        if new != old and not arguments.check:
            page.write_text(new)
        print(f"{page}: {'up to date' if new == old else 'out of date' if arguments.check else 'written'}")
    return 1 if stale and arguments.check else 0


def insert(text: str, results: Path, page: Path) -> str:
    """Return a page's text with new sections. A section without a result stays as it is."""

    def section(match: re.Match[str]) -> str:
        path = results / f"{match['name']}.json"
        if not path.exists():
            return match[0]
        result = read(path)
        if match["table"]:
            text = as_markdown(result.tables[int(match["table"]) - 1])
        elif match["part"]:
            text = _checks(result)
        else:
            text = _markdown(result, _to(results, page))
        return f"{match[1]}\n{text}\n\n{match[5]}"

    return _SECTION.sub(section, text)


def benchmarks_of(text: str) -> list[str]:
    """The names of the benchmarks that a page shows."""
    return list(dict.fromkeys(match["name"] for match in _SECTION.finditer(text)))


def _to(results: Path, page: Path) -> str:
    """The way from the page to the results, as links want it."""
    try:
        return results.resolve().relative_to(page.resolve().parent).as_posix()
    except ValueError:
        return results.as_posix()


def _markdown(result: Result, directory: str) -> str:
    packages = ", ".join(
        f"{name} {version}" for name, version in result.machine.packages.items() if version != "not installed"
    )
    machine = result.machine
    parts = [
        f"`{result.command}`, {result.began[:10]}, {result.seconds:g} s: {machine}; load {machine.load:g}. {packages}.",
        *(as_markdown(table) for table in result.tables),
        *(f"![{_PLOTS.get(name, name.partition('.')[0])}]({directory}/{name})" for name in result.plots),
    ]
    if result.notes:
        parts.append("\n".join(["Notes:", "", *(f"- {note}" for note in result.notes)]))
    if result.checks:
        parts.append(f"Checks:\n\n{_checks(result)}")
    return "\n\n".join(parts)


def _checks(result: Result) -> str:
    return "\n".join(f"- {check}" for check in result.checks)


if __name__ == "__main__":
    sys.exit(main())
