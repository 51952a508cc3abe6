"""Reports of a run: a table, CSV, JSON, JSON Lines, an HTML page, or a manifest.

A report shows the journal of one moment, also while another process executes the run. It is written
line by line, so its size does not matter. `write_report` chooses the form by the name of the file.
"""

from __future__ import annotations

from .csv_json import json_lines, write_csv, write_json, write_json_lines
from .documents import RunDocument, StatusDocument, run_document
from .forms import ReportForm, write_form, write_report
from .html import write_html
from .manifest import write_manifest
from .text import totals, write_table

__all__ = [
    "ReportForm",
    "RunDocument",
    "StatusDocument",
    "json_lines",
    "run_document",
    "totals",
    "write_csv",
    "write_form",
    "write_html",
    "write_json",
    "write_json_lines",
    "write_manifest",
    "write_report",
    "write_table",
]
