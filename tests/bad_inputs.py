"""A table of bad input, with the exit code and the words that a user must see.

A case runs in a folder with these files: `plan.csv` (one good line), `bad.csv` (bad lines),
`empty.csv`, `a.run` (a run for the default host that has not started), `other.run` (a run for
another host), `text.run` (no journal), `folder` (a directory).
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from katapult_async.jobs import Manifest, Run
from tests.command_line import TOKEN

#: Text that drives a terminal, as an argument.
ESCAPES = "\x1b[31mred\x07\u202e"


def make_files(folder: Path) -> None:
    """Make the files that the cases name."""
    (folder / "plan.csv").write_text("disk,virtual_machine\ndisk_1,vm_1\n")
    (folder / "bad.csv").write_text("disk,virtual_machine\ndisk_1\nvm_1,disk_1\n")
    (folder / "empty.csv").write_text("")
    (folder / "text.run").write_text("This is no journal.\n" * 100)
    (folder / "folder").mkdir()
    for name, disk, base_url in (
        ("a.run", "disk_1", None),
        ("other.run", "disk_2", "https://other.example/core/v1"),
    ):
        with Manifest.from_items([(disk, "vm_1")]) as manifest:
            Run.create(folder / name, manifest, base_url=base_url, confirmed=False).close()


class BadInput(NamedTuple):
    """One case. env: variables beside KATAPULT_API_KEY; None for a variable that is not set."""

    arguments: tuple[str, ...]
    words: str
    code: int = 2
    env: tuple[tuple[str, str | None], ...] = ()
    stdin: str = ""


_PLAN = ("plan", "plan.csv", "--organization", "acme")
_ASSIGN = ("assign", "plan.csv", "--no-preflight", "--yes")
_BASE_URLS = [
    ("https://", "must look like"),
    ("api.katapult.io", "must look like"),
    ("ftp://api.example", "must look like"),
    ("http://127.0.0.1:99999", "must look like"),
    ("http://127.0.0.1:0", "must look like"),
    ("https://host:-1", "must look like"),
    ("https://host:port", "must look like"),
    ("https://[::1", "must look like"),
    ("https://two..dots", "must look like"),
    ("https://a blank", "must look like"),
    (f"https://{'a' * 64}.example", "must look like"),
    (f"https://host{ESCAPES}", "must look like"),
    ("https://user:password@host", "must not contain a user name or a password"),
    ("https://host/?query", "must not contain '?' or '#'"),
    ("https://host/#part", "must not contain '?' or '#'"),
    ("http://example.org", "clear text"),
    (TOKEN, "must look like"),
    ("", "--base-url is empty"),
    ("  ", "--base-url is empty"),
]
_NUMBERS = [
    ("--concurrency", "0"),
    ("--concurrency", "-1"),
    ("--concurrency", "many"),
    ("--concurrency", ""),
    ("--per-virtual-machine", "0"),
    ("--per-virtual-machine", "1.5"),
    ("--total-permitted", "0"),
    ("--total-permitted", "none"),
    ("--max-per-second", "0"),
    ("--max-per-second", "nan"),
    ("--max-per-second", "inf"),
    ("--max-per-second", "-3"),
    ("--timeout", "0"),
    ("--timeout", "inf"),
    ("--timeout", "nan"),
    ("--timeout", "1 min"),
    ("--task-timeout", "0"),
    ("--task-timeout", "nan"),
    ("--canary", "0"),
    ("--canary", "-5"),
    ("--canary", "ten"),
    ("--max-failures", "-1"),
    ("--max-failures", "x"),
    ("--window", "0"),
]
_TOKENS = [
    (None, "KATAPULT_API_KEY is not set"),
    ("", "KATAPULT_API_KEY is empty"),
    ("  ", "KATAPULT_API_KEY is empty"),
    (f"{TOKEN} ", "white space at position"),
    (f" {TOKEN}", "white space at position"),
    (f"{TOKEN}\n", "white space at position"),
    (f"{TOKEN}\x1b", "an invalid character at position"),
    (f"„{TOKEN}“", "an invalid character at position"),
]
_MANIFESTS = [
    ("disk_1,vm_1\n", "must name the columns"),
    ("disk,virtual_machine\n", "the manifest is empty"),
    ("", "the manifest is empty"),
    ("disk,virtual_machine\ndisk_1\n", ":2:"),
    ("disk,virtual_machine\ndisk_1,vm_1,x\n", ":2:"),
    ("disk,virtual_machine\nvm_1,disk_1\n", "is a virtual machine, not a disk"),
    ("disk,virtual_machine\ndisk_1,vm_1\ndisk_1,vm_2\n", "disk_1"),
    ("disk,virtual_machine\ndisk_1,\n", ":2:"),
    ("disk,virtual_machine\n,vm_1\n", ":2:"),
    ('disk,virtual_machine\n"disk_1,vm_1\n', ""),
    (f"disk,virtual_machine\n{ESCAPES},vm_1\n", ":2:"),
    ("disk,virtual_machine,attach\ndisk_1,vm_1,perhaps\n", ":2:"),
    ("disk,disk\ndisk_1,disk_2\n", ""),
    ('{"disk": "disk_1"}\n', ":1:"),
    ('{"disk": 1, "virtual_machine": "vm_1"}\n', ":1:"),
    ('{"disk": "disk_1", "virtual_machine": "vm_1"\n', ":1:"),
    ("[]\n", ""),
    ("\x00\x01\x02", ""),
    (f"{TOKEN}\n", ""),
]

CASES: list[BadInput] = [
    BadInput(("nonsense",), "nonsense"),
    BadInput(("--nonsense",), "--nonsense"),
    BadInput(("assign",), "MANIFEST"),
    BadInput(("plan",), "MANIFEST"),
    BadInput(("resume",), "RUN"),
    BadInput(("rollback",), "RUN"),
    BadInput(("status",), "RUN"),
    BadInput(("report",), "RUN"),
    BadInput(("assign", "plan.csv", "extra"), "extra"),
    BadInput(("assign", "plan.csv", "--format", "csv"), "--format"),
    BadInput(("plan", "plan.csv", "--yes"), "--yes"),
    BadInput(("plan", "plan.csv"), "which organization owns the disks?"),
    BadInput(("assign", "plan.csv", "--yes"), "which organization owns the disks?"),
    BadInput(("assign", "plan.csv", "--dry-run"), "which organization owns the disks?"),
    BadInput(("plan", "plan.csv", "--organization", ""), "--organization is empty"),
    BadInput(("plan", "plan.csv", "--organization", " "), "--organization is empty"),
    BadInput(("plan", "plan.csv"), "KATAPULT_ORGANIZATION is empty", env=(("KATAPULT_ORGANIZATION", ""),)),
    BadInput(_ASSIGN, "KATAPULT_BASE_URL is empty", env=(("KATAPULT_BASE_URL", ""),)),
    BadInput(_PLAN, "KATAPULT_BASE_URL is empty", env=(("KATAPULT_BASE_URL", " "),)),
    BadInput(("resume", "a.run", "--yes"), "KATAPULT_BASE_URL is empty", env=(("KATAPULT_BASE_URL", ""),)),
    BadInput(("rollback", "a.run", "--yes"), "KATAPULT_BASE_URL is empty", env=(("KATAPULT_BASE_URL", ""),)),
    BadInput(_ASSIGN, "KATAPULT_BUDGET is empty", env=(("KATAPULT_BUDGET", ""),)),
    BadInput(_ASSIGN, "KATAPULT_BUDGET: expected", env=(("KATAPULT_BUDGET", TOKEN),)),
    BadInput(_ASSIGN, "KATAPULT_PROFILE is empty", env=(("KATAPULT_PROFILE", ""),)),
    BadInput(_ASSIGN, "both set", env=(("KATAPULT_TOKEN_FILE", "token"),)),
    BadInput(
        _ASSIGN, "KATAPULT_TOKEN_FILE is empty", env=(("KATAPULT_TOKEN_FILE", ""), ("KATAPULT_API_KEY", None))
    ),
    BadInput((*_ASSIGN, "--budget", TOKEN), "expected file, none, or the URL"),
    BadInput((*_ASSIGN, "--budget", ""), "expected file, none, or the URL"),
    BadInput((*_ASSIGN, "--profile", " "), "--profile is empty"),
    BadInput((*_ASSIGN, "--token-file", ""), "--token-file is empty"),
    BadInput((*_ASSIGN, "--token-file", TOKEN), "cannot read the token file s3c…"),
    BadInput((*_ASSIGN, "--token-file", "folder/none"), "cannot read the token file folder/none"),
    BadInput((*_ASSIGN, "--token-file", f"a/{ESCAPES}"), "cannot read the token file"),
    BadInput((*_ASSIGN, "--token-command", ""), "--token-command is empty"),
    BadInput((*_ASSIGN, "--token-command", "false"), "failed with exit code 1"),
    BadInput((*_ASSIGN, "--token-command", "true"), "wrote nothing"),
    BadInput((*_ASSIGN, "--token-command", "'open"), "No closing quotation"),
    BadInput((*_ASSIGN, "--token-command", TOKEN), "cannot run the token command s3c…"),
    BadInput((*_ASSIGN, "--token-command", "echo a", "--token-file", "b"), "exclude each other"),
    BadInput((*_ASSIGN, "--token-command", "echo a blank"), "white space at position 2"),
    BadInput(("config", "extra"), "extra"),
    BadInput(("config", "--concurrency", "0"), "at least 1"),
    BadInput(("config", "--base-url", "nonsense"), "must look like"),
    BadInput(("budget", "extra"), "extra"),
    BadInput(("budget",), "KATAPULT_API_KEY is not set", env=(("KATAPULT_API_KEY", None),)),
    BadInput(("budget", "--budget", "none"), "no budget is shared"),
    BadInput(("budget", "--base-url", "nonsense"), "must look like"),
    BadInput(("assign", ""), "MANIFEST is empty"),
    BadInput(("assign", "missing.csv", "--no-preflight", "--yes"), "missing.csv: No such file"),
    BadInput(("assign", "folder", "--no-preflight", "--yes"), "folder"),
    BadInput(("assign", "bad.csv", "--no-preflight", "--yes"), "nothing was sent: fix the manifest"),
    BadInput(("assign", "empty.csv", "--no-preflight", "--yes"), "empty"),
    BadInput(("assign", f"{ESCAPES}.csv", "--no-preflight", "--yes"), "No such file"),
    BadInput(("assign", "x" * 5000, "--no-preflight", "--yes"), "too long"),
    BadInput((*_ASSIGN, "--run", ""), "--run is empty"),
    BadInput((*_ASSIGN, "--run", "none/a.run"), "none/a.run"),
    BadInput((*_ASSIGN, "--run", "folder"), "folder"),
    BadInput((*_ASSIGN, "--run", "text.run"), "text.run"),
    BadInput((*_ASSIGN, "--run", "other.run"), "other.run"),
    BadInput(("assign", "plan.csv", "--no-preflight"), "cannot ask for confirmation"),
    BadInput(("resume", "a.run"), "cannot ask for confirmation"),
    BadInput(("resume", "none.run"), "none.run does not exist"),
    BadInput(("resume", "text.run"), "text.run"),
    BadInput(("resume", "folder"), "folder"),
    BadInput(("resume", ""), "RUN is empty"),
    BadInput(("rollback", " "), "RUN is empty"),
    BadInput(("status", ""), "RUN is empty"),
    BadInput(("report", ""), "RUN is empty"),
    BadInput(("resume", "other.run", "--yes"), "made for https://other.example/core/v1"),
    BadInput(("resume", "other.run", "--yes"), "would go to https://api.katapult.io/core/v1"),
    BadInput(
        ("resume", "other.run", "--yes"),
        "add --base-url https://other.example/core/v1",
        env=(("KATAPULT_BASE_URL", "https://third.example"),),
    ),
    BadInput(("rollback", "other.run", "--yes"), "made for https://other.example/core/v1"),
    BadInput(("rollback", "none.run"), "none.run does not exist"),
    BadInput(("rollback", "text.run"), "text.run"),
    BadInput(("rollback", "folder"), "folder"),
    BadInput(("rollback", "a.run", "--yes"), "nothing"),
    BadInput(("rollback", "a.run", "--yes", "--run", ""), "--run is empty"),
    BadInput(("status", "none.run"), "none.run does not exist"),
    BadInput(("status", "text.run"), "text.run"),
    BadInput(("status", "folder"), "folder"),
    BadInput(("status", f"{ESCAPES}.run"), "does not exist"),
    BadInput(("report", "none.run"), "none.run does not exist"),
    BadInput(("report", "text.run"), "text.run"),
    BadInput(("report", "a.run", "--format", "pdf"), "pdf"),
    BadInput(("report", "a.run", "-o", "none/report.csv"), "none/report.csv"),
    BadInput(("report", "a.run", "-o", "folder"), "folder"),
    BadInput((*_PLAN, "--log", ""), "--log is empty"),
    BadInput((*_PLAN, "--log", "none/log"), "cannot write the log none/log: No such file"),
    BadInput((*_PLAN, "--log", "folder"), "cannot write the log folder"),
    BadInput((*_PLAN, "--log", "/dev/full"), "cannot write the log /dev/full: No space left on device"),
    BadInput(("emulate", "--port", "99999"), "--port"),
    BadInput(("emulate", "--port", "-1"), "--port"),
    BadInput(("emulate", "--limiter", "leaky"), "leaky"),
    BadInput(("emulate", "--faults", "2"), "--faults"),
    BadInput(("emulate", "--plan-out", "none/plan.csv"), "none/plan.csv"),
    BadInput(("demo", "--disks", "0"), "--disks"),
    BadInput(("demo", "--faults", "1"), "--faults"),
    *(BadInput((*_PLAN, "--base-url", url), words) for url, words in _BASE_URLS),
    *(BadInput(_ASSIGN, words, env=(("KATAPULT_BASE_URL", url),)) for url, words in _BASE_URLS[:6]),
    *(BadInput((*_ASSIGN, option, value), option.strip("-").replace("-", "")) for option, value in _NUMBERS),
    *(BadInput(_ASSIGN, words, env=(("KATAPULT_API_KEY", token),)) for token, words in _TOKENS),
    *(BadInput(("assign", "-", "--no-preflight", "--yes"), words, stdin=text) for text, words in _MANIFESTS),
]
