"""Links, anchors, pictures and examples of the documentation hold."""

from __future__ import annotations

import ast
import re
from importlib import import_module
from pathlib import Path

import pytest

from docs.site.commands import every_command, help_records
from docs.site.generated import filled

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = [
    *sorted(path for path in DOCS.rglob("*.md") if "_build" not in path.parts),
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "benchmarks/README.md")),
]
FENCE = re.compile(r"^ *(`{3,}).*?^ *\1$", re.MULTILINE | re.DOTALL)


def name_of(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def text_of(page: Path) -> str:
    """The text of a page with what is generated, without its blocks of code."""
    return FENCE.sub("", filled(page.read_text("utf-8")))


def anchors_of(page: Path) -> set[str]:
    """The anchors of headings, as GitHub and Sphinx make them, and those that are given."""
    text = text_of(page)
    headings = re.findall(r"^#{1,4} (.+)$", text, re.MULTILINE)
    made = {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}
    return made | set(re.findall(r"^\(([\w-]+)\)=$", text, re.MULTILINE))


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_and_anchors_hold(page: Path) -> None:
    broken: list[str] = []
    for target in re.findall(r"\]\(([^)\s]+)\)", text_of(page)):
        if re.match(r"https?://", target):
            continue
        file, _, anchor = target.partition("#")
        found = (page.parent / file).resolve() if file else page
        if not found.exists() or (anchor and anchor not in anchors_of(found)):
            broken.append(target)
    included = re.findall(
        r"^```\{(?:literalinclude|include|image)\} (\S+)$", page.read_text("utf-8"), re.MULTILINE
    )
    broken += [target for target in included if not (page.parent / target).exists()]
    assert broken == []


def test_every_page_is_in_a_table_of_contents() -> None:
    listed: set[Path] = set()
    for page in PAGES:
        for options, entries in re.findall(
            r"^```\{toctree\}\n((?::\w+:[^\n]*\n)*)(.*?)^```$", page.read_text(), re.MULTILINE | re.DOTALL
        ):
            for entry in entries.split():
                pattern = f"{entry}.md"
                folder = page.parent
                if ":glob:" in options:
                    listed |= {path.resolve() for path in folder.glob(pattern)}
                else:
                    listed.add((folder / pattern).resolve())
    missing = {name_of(page) for page in PAGES if DOCS in page.parents and page not in listed}
    assert missing == {"docs/index.md"}


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_python_examples_are_python_with_real_names(page: Path) -> None:
    for example in re.findall(r"^```python\n(.*?)^```$", page.read_text("utf-8"), re.MULTILINE | re.DOTALL):
        tree = compile(example, str(page), "exec", flags=ast.PyCF_ONLY_AST | ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("katapult_async"):
                module = import_module(str(node.module))
                assert {alias.name for alias in node.names} <= set(module.__all__), page


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_commands_and_options_exist(page: Path) -> None:
    commands = every_command()
    for line in re.findall(r"katapult-async [^`\n#|;]+", page.read_text("utf-8")):
        words = line.split()[1:]
        name = next((name for name in (" ".join(words[:2]), *words[:1]) if name in commands), None)
        if name is None:
            continue
        known = {option for given, _ in help_records(name) for option in re.findall(r"--?[\w-]+", given)}
        given = {word.partition("=")[0] for word in words if re.match(r"--[a-z]", word)}
        assert given <= known | {"--help"}, line
