"""Sphinx calls these functions: for the markers of a page, for docstrings, and for links."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

from docs.site.docstrings import as_rst, comment_of, readable_signature
from docs.site.generated import filled

if TYPE_CHECKING:
    from docutils.nodes import Element, TextElement
    from sphinx.addnodes import pending_xref
    from sphinx.application import Sphinx
    from sphinx.environment import BuildEnvironment


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the functions."""
    app.connect("source-read", _fill)
    app.connect("autodoc-process-docstring", _convert, priority=400)  # before napoleon
    app.connect("autodoc-process-signature", _shorten)
    app.connect("autodoc-skip-member", _skip)
    app.connect("missing-reference", _resolve)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def _fill(app: Sphinx, name: str, source: list[str]) -> None:
    del app, name
    source[0] = filled(source[0])


def _convert(app: Sphinx, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    del app, obj, options
    if what == "data":  # of its value's class otherwise
        lines[:] = comment_of(name)
    lines[:] = as_rst(lines)
    if what in {"attribute", "data", "property"} and lines:
        # napoleon takes words before a colon of the first line for a type: put a comment first.
        lines[:0] = ["..", ""]


def _shorten(
    app: Sphinx, what: str, name: str, obj: Any, options: Any, signature: str | None, returns: str | None
) -> tuple[str, str | None] | None:
    del app, what, name, obj, options
    return None if signature is None else (readable_signature(signature), returns)


def _skip(app: Sphinx, what: str, name: str, obj: Any, skip: bool, options: Any) -> bool | None:
    """Leave out what says nothing: methods of every exception, and fields of named tuples.

    The class explains the fields.
    """
    del app, what, options
    says_nothing = name in {"with_traceback", "add_note"} or str(obj.__doc__).startswith("Alias for field")
    return True if says_nothing else skip or None


def _resolve(app: Sphinx, env: BuildEnvironment, node: pending_xref, content: TextElement) -> Element | None:
    """Link a name of the package by its last part.

    Annotations have the module in which a class is defined, and the pages the one that exports it.
    """
    if node.get("refdomain") != "py":
        return None
    domain = env.domains.python_domain
    names = tuple(domain.objects)
    target = _by_last_part(names).get(str(node["reftarget"]).rpartition(".")[2])
    if target is None:
        return None
    return domain.resolve_xref(env, node["refdoc"], app.builder, "obj", target, node, content)


@lru_cache(maxsize=2)
def _by_last_part(names: tuple[str, ...]) -> dict[str, str]:
    """Return the classes and functions of packages by their last part, if only one has it."""
    found: dict[str, str] = {}
    twice: set[str] = set()
    exported = [name for name in names if name.count(".") <= 2 and name.startswith("katapult_async.")]
    for name in exported:
        last = name.rpartition(".")[2]
        if found.setdefault(last, name) != name:
            twice.add(last)
    return {last: name for last, name in found.items() if last not in twice}
