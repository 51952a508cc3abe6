"""The page of a report in a browser: its search, its width, and whether its labels are readable."""

from __future__ import annotations

import re
import shutil
import sqlite3
import subprocess
from pathlib import Path

import pytest

from katapult_async.jobs import Journal, LineStatus, RunKind, write_html
from katapult_async.jobs.journal import NewLine, new_info

BROWSER = shutil.which("chromium") or ""
pytestmark = pytest.mark.skipif(not BROWSER, reason="there is no browser here")
FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
)


@pytest.fixture
def page(tmp_path: Path) -> Path:
    """A page of 40 failures with ids of the usual length."""
    lines = [
        NewLine(
            number=10_000 + number,
            disk=f"disk_aZ3kQ9xTbW7mR2{number:02}",
            virtual_machine="vm_35HyRrY03K6JBO94"
            if number % 5
            else "primary-0.database.acme.katapult.example.com",
            step="assign",
            note="wanted by the customer" if number % 2 else None,
        )
        for number in range(40)
    ]
    journal = Journal.temporary(new_info(RunKind.ASSIGN, "plan.csv", "0", len(lines)), lines)
    with journal, (tmp_path / "report.html").open("w", encoding="utf-8") as out:
        journal.query(
            sqlite3.Connection.execute,
            "UPDATE line SET status = ?, code = 'virtual_machine_must_be_started', detail = ?, attempts = 1,"
            " request_id = '0f9c2e1b-7d4a-4c5e-9a53-c2f1e8b7d640', finished_at = 1.78e9",
            (
                LineStatus.FAILED.value,
                "The virtual machine is locked by a task that has not ended yet: 100% busy",
            ),
        )
        journal.query(
            sqlite3.Connection.execute,
            "INSERT INTO session (number, started_at, finished_at, ended, reason) VALUES (1, 1.78e9, 1.78e9 + 300, 'finished', NULL)",
        )
        for second in range(0, 300, 7):
            journal.query(
                sqlite3.Connection.execute,
                "INSERT INTO second VALUES (1.78e9 + ?, 1234, 1, 0, 10000)",
                (second,),
            )
        write_html(out, journal)
    return tmp_path / "report.html"


def shown(page: Path, fragment: str = "", *, width: int = 1280) -> str:
    """What the page has become after its scripts have run."""
    command = [
        *(BROWSER, *FLAGS, f"--user-data-dir={page.parent / 'browser'}", f"--window-size={width},900"),
        *("--virtual-time-budget=4000", "--dump-dom", f"{page.as_uri()}{fragment}"),
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=50, check=True)  # noqa: S603 - our own page
    return done.stdout


@pytest.mark.parametrize(
    ("fragment", "found"),
    [
        ("", ""),
        ("#10007", "1 of 40"),
        ("#not%20ended%20mR207", "1 of 40"),
        ("#100%", "40 of 40"),
        ("#%zz", "0 of 40"),
    ],
)
def test_a_search_can_be_sent_to_somebody_as_a_fragment(page: Path, fragment: str, found: str) -> None:
    dom = shown(page, fragment)
    assert '<p id="search">' in dom
    assert re.findall(r'<output id="shown"[^>]*>([^<]*)</output>', dom) == [found]


def measured(page: Path, script: str, *, width: int) -> str:
    """Return what a script finds on the page, in a frame as wide as a screen.

    A browser window cannot be as narrow as a telephone.
    """
    text = page.read_text("utf-8")
    # Its policy permits no script of ours.
    text = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", text)
    post = f"<script>parent.postMessage(String({script}), '*')</script>"
    page.with_name("inner.html").write_text(text.replace("</body>", f"{post}</body>"), "utf-8")
    outer = page.with_name("outer.html")
    outer.write_text(
        "<title>nothing</title><script>onmessage = (event) => { document.title = event.data; }</script>"
        f'<iframe src="inner.html" style="border: 0; width: {width}px; height: 30000px"></iframe>'
    )
    found = re.search(r"<title>([^<]*)</title>", shown(outer, width=1280))
    assert found is not None
    return found[1]


CUT = """[...document.querySelectorAll('svg text')].filter((text) => {
  const box = text.getBoundingClientRect();
  return box.width && (box.left < 0 || box.right > document.documentElement.clientWidth);
}).map((text) => text.textContent).join('|') || `${document.documentElement.clientWidth} wide, none`"""
SMALL = """Math.min(...[...document.querySelectorAll('svg text')].map((text) => text.getBoundingClientRect().height)
  .filter(Boolean)) > 11"""


@pytest.mark.parametrize("width", [390, 1280])
def test_no_label_of_the_chart_is_cut_or_too_small_to_read(page: Path, width: int) -> None:
    assert measured(page, CUT, width=width) == f"{width} wide, none"
    assert measured(page, SMALL, width=width) == "true"


def test_nothing_on_a_telephone_is_wider_than_its_screen(page: Path) -> None:
    assert measured(page, "document.documentElement.scrollWidth", width=390) == "390"


@pytest.mark.parametrize("width", [1265, 1600])
def test_all_columns_fit_beside_each_other(page: Path, width: int) -> None:
    measure = (
        "(({parentNode: box}) => box.scrollWidth - box.clientWidth)(document.getElementById('failures'))"
    )
    assert measured(page, measure, width=width) == "0"
