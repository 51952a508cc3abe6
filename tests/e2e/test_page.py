"""The page of a report as a browser shows it: its search, and how wide it is."""

from __future__ import annotations

import re
import shutil
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
        journal.connection.execute(
            "UPDATE line SET status = ?, code = 'virtual_machine_must_be_started', detail = ?, attempts = 1,"
            " request_id = '0f9c2e1b-7d4a-4c5e-9a53-c2f1e8b7d640', finished_at = 1.78e9",
            (
                LineStatus.FAILED.value,
                "The virtual machine is locked by a task that has not ended yet: 100% busy",
            ),
        )
        write_html(out, journal)
    return tmp_path / "report.html"


def shown(page: Path, fragment: str = "", *, width: int = 1280) -> str:
    """What the page has become after its scripts have run."""
    command = [
        *(BROWSER, *FLAGS, f"--user-data-dir={page.parent / 'browser'}", f"--window-size={width},900"),
        *("--dump-dom", f"{page.as_uri()}{fragment}"),
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


@pytest.mark.parametrize("width", [1280, 1600])
def test_all_columns_fit_beside_each_other(page: Path, width: int) -> None:
    text = page.read_text("utf-8")
    # Its policy permits no script of ours.
    text = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", text)
    measure = "const box = document.getElementById('failures').parentNode; document.title = box.scrollWidth - box.clientWidth"
    page.write_text(text.replace("</body>", f"<script>{measure}</script></body>"), "utf-8")
    assert "<title>0</title>" in shown(page, width=width)
