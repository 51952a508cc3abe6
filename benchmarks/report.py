"""`python -m benchmarks.report`: puts the tables of the results into the page, between its markers.

    <!-- benchmark: NAME -->
    …
    <!-- /benchmark -->

What stands between them is replaced; the rest of the page is its author's. Nothing is measured here. `--check` changes
nothing and says whether the page is up to date.
"""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path

from .command import RESULTS
from .result import Result, as_markdown, read

PAGE = Path(__file__).parent / "README.md"
_SECTION = re.compile(r"(<!-- benchmark: (?P<name>\w+) -->\n).*?(<!-- /benchmark -->)", re.DOTALL)
_PLOTS = {"scheduling-seconds.svg": "Accepted and refused by the second, on an aligned window"}


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
    """The text of a page with every section filled in anew. Sections without a result stay as they are."""

    def section(match: re.Match[str]) -> str:
        path = results / f"{match['name']}.json"
        if not path.exists():
            return match[0]
        return f"{match[1]}{_markdown(read(path), _to(results, page))}{match[3]}"

    return _SECTION.sub(section, text)


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
    for title, lines in (("Notes", result.notes), ("Checks", [str(check) for check in result.checks])):
        if lines:
            parts.append("\n".join([f"{title}:", "", *(f"- {line}" for line in lines)]))
    return "\n" + "\n\n".join(parts) + "\n\n"


if __name__ == "__main__":
    sys.exit(main())
