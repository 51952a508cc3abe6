"""The frame of a page: its head with styles and a content security policy, and its foot."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from html import escape
from importlib import resources

from katapult_async.safe_text import for_terminal


def text(value: object) -> str:
    """Return what a page shows for a value; nothing for None."""
    return "" if value is None else escape(for_terminal(str(value)))


def asset(package: str, name: str) -> str:
    """Return the text of a file next to a package's modules.

    Args:
        package: The name of the package.
        name: The file's path in it, for example page/report.css.
    """
    found = resources.files(package)
    for part in name.split("/"):
        found = found / part
    return found.read_text("utf-8")


def head(title: str, *, style: str = "", script: str = "") -> str:
    """Return the start of a page, up to its heading.

    Args:
        title: The title, as plain text.
        style: Styles in addition to those of all pages.
        script: The script of the page, which `foot` writes. The policy permits only this one.
    """
    styles = asset("katapult_async.page", "page.css") + style
    permitted = f" script-src '{_hash(script)}';" if script else ""
    policy = (
        f"default-src 'none'; style-src '{_hash(styles)}';{permitted} base-uri 'none'; form-action 'none'"
    )
    name = text(title)
    return (
        "<!doctype html>\n"
        '<html lang="en"><head><meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n'
        f"<title>{name}</title>\n<style>{styles}</style></head>\n"
        f"<body><main><h1>{name}</h1>\n"
    )


def foot(facts: Sequence[str], *, script: str = "") -> str:
    """Return the end of a page.

    Args:
        facts: Short facts for its last line, as plain text.
        script: The script, as given to `head`.
    """
    run = f"<script>{script}</script>" if script else ""
    return f"<footer>{text(' · '.join(facts))}</footer>\n</main>{run}</body></html>\n"


def _hash(content: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
