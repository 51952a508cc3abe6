"""The picture of the layers: how one assignment goes down to the API and comes back."""

from __future__ import annotations

from typing import NamedTuple
from xml.sax.saxutils import escape

_STYLE = """
text { font: 14px system-ui, sans-serif; fill: #1f2328 } .name { font-weight: 600 }
.code { font: 13px ui-monospace, 'DejaVu Sans Mono', monospace; fill: #57606a }
.box { fill: #f6f8fa; stroke: #8c959f } .side { fill: #ddf4ff; stroke: #54aeff }
.way { fill: none; stroke: #1f2328; stroke-width: 1.5 } .tip { fill: #1f2328 }
@media (prefers-color-scheme: dark) {
  text { fill: #e6edf3 } .code { fill: #9198a1 } .box { fill: #161b22; stroke: #6e7681 }
  .side { fill: #0c2d4d; stroke: #388bfd } .way { stroke: #e6edf3 } .tip { fill: #e6edf3 }
}
"""
_WIDTH, _HEIGHT, _STEP, _TOP, _LEFT, _BOX = 760, 66, 100, 20, 20, 470


class Layer(NamedTuple):
    """One box.

    Args:
        name: What people call it.
        package: Its package.
        does: What it does with an item.
        down: What it passes down.
        up: What comes back up to it.
    """

    name: str
    package: str
    does: str
    down: str = ""
    up: str = ""


LAYERS = (
    Layer("Client", "client.py, resources/", "typed methods, actions of bulk runs", "items", "BulkReport"),
    Layer(
        "Bulk run", "bulk/", "reads items, sends, judges, reads back", "Operation, body", "struct or error"
    ),
    Layer("Rate limit", "ratelimit/", "waits for a permit", "method, URL, bytes", "Reply, Evidence"),
    Layer("Transport", "transport/", "one request out, one whole response in", "HTTP", "HTTP"),
    Layer("Katapult Core API", "or testing/", "counts requests per token"),
)
#: Packages beside the way: the number of the layer, and what they add to it.
SIDES = (
    (1, Layer("Journal", "jobs/", "records each line")),
    (2, Layer("Budget", "budget/", "shares the window")),
)


def svg() -> str:
    """Return the picture."""
    height = _TOP * 2 + _STEP * (len(LAYERS) - 1) + _HEIGHT
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" role="img">',
        "<title>The layers of katapult_async, from the client down to the API</title>",
        f"<style>{_STYLE}</style>",
    ]
    for number, layer in enumerate(LAYERS):
        top = _TOP + number * _STEP
        parts += _box(layer, _LEFT, top, _BOX, "box")
        if layer.down:
            parts += _ways(layer, top + _HEIGHT)
    for number, layer in SIDES:
        top = _TOP + number * _STEP
        parts += _box(layer, _LEFT + _BOX + 50, top, _WIDTH - _BOX - _LEFT * 2 - 50, "side")
        middle = top + _HEIGHT / 2
        parts.append(f'<path class="way" d="M{_LEFT + _BOX} {middle:g}h50"/>')
    return "\n".join([*parts, "</svg>", ""])


def _box(layer: Layer, left: float, top: float, width: float, kind: str) -> list[str]:
    right = left + width - 14
    return [
        f'<rect class="{kind}" x="{left:g}" y="{top:g}" width="{width:g}" height="{_HEIGHT}" rx="6"/>',
        f'<text class="name" x="{left + 14:g}" y="{top + 27:g}">{escape(layer.name)}</text>',
        f'<text class="code" x="{right:g}" y="{top + 27:g}" text-anchor="end">{escape(layer.package)}</text>',
        f'<text x="{left + 14:g}" y="{top + 50:g}">{escape(layer.does)}</text>',
    ]


def _ways(layer: Layer, top: float) -> list[str]:
    """Draw the two arrows to the next layer."""
    bottom = top + _STEP - _HEIGHT
    down, up = _LEFT + 60, _LEFT + 260
    middle = top + (bottom - top) / 2 + 5
    return [
        f'<path class="way" d="M{down} {top + 2:g}V{bottom - 8:g}"/>',
        f'<path class="tip" d="M{down - 5} {bottom - 9:g}h10l-5 8z"/>',
        f'<text x="{down + 12}" y="{middle:g}">{escape(layer.down)}</text>',
        f'<path class="way" d="M{up} {bottom - 2:g}V{top + 8:g}"/>',
        f'<path class="tip" d="M{up - 5} {top + 9:g}h10l-5 -8z"/>',
        f'<text x="{up + 12}" y="{middle:g}">{escape(layer.up)}</text>',
    ]
