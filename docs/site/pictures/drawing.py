"""From the rows of a terminal to SVG."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from xml.sax.saxutils import escape

from docs.site.pictures.terminal import Row

#: Pixels.
_WIDTH, _HEIGHT, _MARGIN = 8.4, 18, 16
_STYLE = """
text { font: 14px ui-monospace, 'DejaVu Sans Mono', Menlo, Consolas, monospace; fill: #d8dee4; white-space: pre }
.bold { font-weight: 600; fill: #fff } .dim { fill: #8b949e }
.red { fill: #ff7b72 } .green { fill: #7ee787 } .yellow { fill: #e3b341 }
"""


def terminal_svg(rows: Sequence[Row], columns: int, title: str) -> str:
    """Return the picture of a terminal.

    Args:
        rows: The rows.
        columns: The width of the terminal.
        title: What it shows, for people who do not see it.
    """
    width = columns * _WIDTH + 2 * _MARGIN
    height = len(rows) * _HEIGHT + 2 * _MARGIN
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height:g}" role="img">',
        f"<title>{escape(title)}</title>",
        f"<style>{_STYLE}</style>",
        f'<rect width="{width:g}" height="{height:g}" rx="8" fill="#161b22"/>',
    ]
    lines += [_row(row, number) for number, row in enumerate(rows) if row]
    return "\n".join([*lines, "</svg>", ""])


def _row(row: Row, number: int) -> str:
    parts: list[str] = []
    column = 0
    for style, run in groupby(row, lambda character: character.style):
        text = "".join(character.text for character in run)
        if text.strip():
            # The given length keeps the columns aligned, whatever font there is.
            place = f'x="{_MARGIN + column * _WIDTH:g}" textLength="{len(text) * _WIDTH:g}"'
            kind = f' class="{style}"' if style else ""
            parts.append(f"<tspan {place}{kind}>{escape(text)}</tspan>")
        column += len(text)
    return f'<text y="{_MARGIN + number * _HEIGHT + 13}" xml:space="preserve">{"".join(parts)}</text>'
