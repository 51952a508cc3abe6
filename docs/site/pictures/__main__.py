"""`python -m docs.site.pictures [screens|architecture|report|load]…`: make the pictures again.

Without arguments, it makes all of them, in about two minutes. `report` and `load` need Chromium.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
from pathlib import Path

from docs.site.pictures import screens

PICTURES = Path(__file__).parents[2] / "pictures"


def main(wanted: list[str]) -> None:
    """Make the pictures of these kinds; all of them without arguments."""
    from docs.site.pictures import architecture, pages

    PICTURES.mkdir(exist_ok=True)
    if not wanted or "architecture" in wanted:
        (PICTURES / "architecture.svg").write_text(architecture.svg(), "utf-8")
    if not wanted or "screens" in wanted:
        with tempfile.TemporaryDirectory(prefix="screens-") as folder:
            for name, picture in asyncio.run(screens.record(Path(folder))).items():
                (PICTURES / f"{name}.svg").write_text(picture, "utf-8")
    if not wanted or "report" in wanted:
        with tempfile.TemporaryDirectory(prefix="report-") as folder:
            pages.report(Path(folder), PICTURES)
    if not wanted or "load" in wanted:
        with tempfile.TemporaryDirectory(prefix="load-") as folder:
            pages.load(Path(folder), PICTURES)


if __name__ == "__main__":
    main(sys.argv[1:])
