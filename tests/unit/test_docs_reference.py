"""The reference is complete: names, commands, options, settings, events, metrics and errors.

These tests read the sources of the site and what its programs generate. They do not need Sphinx.
"""

from __future__ import annotations

import importlib
import re
from pathlib import Path

import msgspec
import pytest

import katapult_async
import katapult_async.jobs.errors
from docs.site.actions import actions
from docs.site.advice import ADVICE
from docs.site.commands import every_command, exit_codes, help_records
from docs.site.docstrings import as_rst, comment_of, readable_signature
from docs.site.errors import every_error
from docs.site.events import METHODS
from docs.site.generated import PARTS, filled, markers
from docs.site.markdown import cell
from katapult_async import APIError, KatapultError, observer, otel
from katapult_async.cli.settings import SETTINGS
from katapult_async.errors import CODES
from katapult_async.jobs import Manifest
from katapult_async.jobs.manifest.rows import AssignmentRows
from katapult_async.jobs.report.schemas import schemas
from katapult_async.resources.actions import ACTION_NAMES
from tests.unit.test_exports import PUBLIC

ROOT = Path(__file__).parents[2]
REFERENCE = ROOT / "docs" / "reference"
PAGES = sorted((ROOT / "docs").rglob("*.md"))
DOCUMENTED = {
    name
    for page in (REFERENCE / "python").glob("*.md")
    for name in re.findall(r"^\.\. auto\w+:: ([\w.]+)$", page.read_text("utf-8"), re.MULTILINE)
}


def page(name: str) -> str:
    return filled((REFERENCE / f"{name}.md").read_text("utf-8"))


def value_of(name: str) -> object:
    module, _, last = name.rpartition(".")
    return getattr(importlib.import_module(module), last)


@pytest.mark.parametrize("package", [*PUBLIC, "katapult_async.errors"])
def test_every_public_name_is_documented(package: str) -> None:
    """Under this package, or under the one from which it should be imported."""
    values = [value_of(name) for name in DOCUMENTED]
    missing = [
        name
        for name in importlib.import_module(package).__all__
        if f"{package}.{name}" not in DOCUMENTED
        and not any(value_of(f"{package}.{name}") is value for value in values)
    ]
    assert missing == []


def test_every_documented_name_exists() -> None:
    assert len(DOCUMENTED) > 150
    for name in DOCUMENTED:
        assert value_of(name) is not None


def test_every_command_and_option_is_documented() -> None:
    text = page("commands")
    for name, command in every_command().items():
        section = text.partition(f"\n## `{name}`\n")[2].partition("\n## ")[0]
        assert section, name
        assert " ".join(command.help.partition("\n\n")[0].split()[:4]) in section
        shown = {word for given, _ in help_records(name) for word in re.findall(r"--[\w-]+", given)}
        assert shown <= set(re.findall(r"--[\w-]+", section))
        visible = {
            option
            for parameter in command.params
            if not getattr(parameter, "hidden", False)
            for option in parameter.opts
            if option.startswith("--")
        }
        assert visible <= shown, name


def test_every_setting_and_variable_is_documented() -> None:
    text = page("settings")
    for setting in SETTINGS.values():
        assert {f"`{setting.name}`", f"`{setting.option}`"} <= set(re.findall(r"`[^`]+`", text))
    sources = "".join(path.read_text("utf-8") for path in (ROOT / "katapult_async").rglob("*.py"))
    assert set(re.findall(r"\bKATAPULT_[A-Z_]+\b", sources)) <= set(re.findall(r"\bKATAPULT_[A-Z_]+\b", text))


def test_every_event_and_field_is_documented() -> None:
    text = page("events")
    classes = {
        value
        for name, value in vars(observer).items()
        if name.endswith("Event") and issubclass(value, msgspec.Struct)
    }
    assert set(METHODS.values()) == classes
    for method, event in METHODS.items():
        section = text.partition(f"## `{method}`")[2].partition("\n## ")[0]
        assert set(event.__struct_fields__) == set(re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE))
    assert all(f"`{field}`" in text for field in observer.BudgetProcess.__struct_fields__)


def test_every_metric_and_attribute_is_documented() -> None:
    text = page("metrics")
    source = Path(str(otel.__file__)).read_text("utf-8")
    code = source.partition('"""\n\nfrom __future__')[2]
    names = set(re.findall(r'"((?:katapult|http|url|server|error)\.[\w.]+[a-z])"', code))
    assert len(names) > 10
    names |= {
        f"katapult.client.budget.{name}" for name in re.findall(r'^    "(\w+)": \(', code, re.MULTILINE)
    }
    assert {name for name in names if name not in text} == set()


def test_every_error_code_is_documented_with_what_to_do() -> None:
    text = page("errors")
    assert all(f"| `{code}` |" in text for code in CODES)
    names = {kind.__name__ for kind in every_error()}
    errors_of_jobs = {
        name
        for name, value in vars(katapult_async.jobs.errors).items()
        if name.startswith("Journal") and issubclass(value, KatapultError)
    }
    classes = names | errors_of_jobs | {"BulkError", "BudgetError", "ManifestError"}
    subclassed = {"JournalError"}
    assert {name for name in classes - subclassed if f".{name}`" not in text} == set()


def test_there_is_advice_for_each_error_and_no_other() -> None:
    coded = set(CODES.values())
    bases = {KatapultError, APIError}
    assert set(ADVICE) == set(CODES) | {
        kind.__name__ for kind in every_error() if kind not in coded and kind not in bases
    }


def test_every_json_document_and_action_is_documented() -> None:
    text = page("schemas")
    for name in schemas():
        assert f"../schemas/{name}" in text
        assert (ROOT / "docs" / "schemas" / name).exists()
    assert all(f"| `{name}` |" in page("manifest") for name in ACTION_NAMES)


def test_the_page_of_manifests_has_every_column_and_manifests_that_can_be_read(tmp_path: Path) -> None:
    text = page("manifest")
    section = text.partition("\n## Assignments\n")[2].partition("\n## ")[0]
    columns = AssignmentRows.columns
    rows = dict(re.findall(r"^\| `(\w+)` \| `?(\w+)", section, re.MULTILINE))
    assert tuple(rows) == columns.all
    assert tuple(name for name, meaning in rows.items() if meaning == "required") == columns.required
    examples = re.findall(r"```text\n(.*?)```", section, re.DOTALL)
    assert len(examples) == 2
    for number, example in enumerate(examples):
        file = tmp_path / str(number)
        file.write_text(example)
        with Manifest.open(file) as manifest:
            assert len([*manifest]) == 2


def test_the_items_that_explain_the_columns_of_actions_are_documented() -> None:
    rows = re.findall(r"^\| `(\w+)` \|.*`~[\w.]+\.(\w+)` \|$", actions(), re.MULTILINE)
    assert tuple(action for action, _ in rows) == ACTION_NAMES
    assert {item for _, item in rows} <= {name.rpartition(".")[2] for name in DOCUMENTED}


def test_each_generated_part_is_used_and_each_marker_is_known() -> None:
    used = {name for path in PAGES for name in markers(path.read_text("utf-8"))}
    assert used == set(PARTS)
    assert all(part().strip() for part in PARTS.values())


def test_the_changelog_has_an_entry_for_this_version() -> None:
    changelog = (ROOT / "CHANGELOG.md").read_text("utf-8")
    first, _, rest = changelog.partition("\n## ")[2].partition("\n")
    assert first in {"[Unreleased]", f"[{katapult_async.__version__}]"} or first.startswith(
        f"[{katapult_async.__version__}] - "
    )
    assert "\n- " in rest.partition("\n## ")[0]


def test_examples_and_tables_of_docstrings_become_restructured_text() -> None:
    assert as_rst(
        ["Text:", "", "    code()", "", "More.", "", "Args:", "    name: It.", "", "    More of it."]
    ) == [
        *("Text:", "", ".. code-block:: python", "", "    code()", "", ""),
        *("More.", "", "Args:", "    name: It.", "", "    More of it."),
    ]
    assert as_rst(["| a | b |", "|---|---|", "| 1 | 2 |"]) == [
        *(".. list-table::", "   :header-rows: 1", ""),
        *("   * - a", "     - b", "   * - 1", "     - 2", ""),
    ]
    assert comment_of("katapult_async.errors.CODES")[0].startswith("Every code documented")
    assert comment_of("katapult_async.errors.nothing") == []


def test_signatures_have_no_metadata_and_no_memory_addresses() -> None:
    meta = r"""Meta(description="a ], b's", examples=['\\', ']'])"""
    assert readable_signature(f"(*, a: list[Annotated[int | None, {meta}]] = None, b: str = <factory>)") == (
        "(*, a: list[int | None] = None, b: str = ...)"
    )
    assert readable_signature(f"(a: ~typing.Annotated[dict[str, Annotated[~a.b.int, {meta}]], {meta}])") == (
        "(a: dict[str, int])"
    )


def test_the_keys_of_a_json_document_have_the_meanings_that_its_description_gives() -> None:
    text = page("schemas")
    assert "| `done` | integer | The number of disks that are rolled back. |" in text
    assert "| `p99` | number or null | Seconds within which" in text
    assert "Attributes:" not in text
    assert "\nThe report of a run: `katapult-async report RUN" in text


def test_the_values_of_an_option_stay_in_one_cell() -> None:
    section = page("commands").partition("\n## `report`\n")[2]
    assert "| `--format` &lt;table\\|csv\\|" in section
    assert "`--status` and `--all` choose other" in section


def test_cells_take_markdown_literally_except_for_code() -> None:
    assert cell("a|b *c* <d> `e|f` [g]") == "a\\|b \\*c\\* &lt;d&gt; `e\\|f` \\[g\\]"


def test_the_exit_codes_are_those_of_the_help() -> None:
    """They are Markdown in the page, so that they can be read without the site."""
    assert exit_codes() in (REFERENCE / "commands.md").read_text("utf-8")


def test_all_documented_data_of_bulk_runs_has_a_description() -> None:
    text = (REFERENCE / "python" / "bulk.md").read_text("utf-8")
    names = re.findall(r"^\.\. autodata:: ([\w.]+)$", text, re.MULTILINE)
    assert len(names) >= 6
    assert [name for name in names if not comment_of(name)] == []
