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
    (folder / "night.csv").write_text("disk,virtual_machine\ndisk_3,vm_1\n")
    for name, disk, base_url in (
        ("a.run", "disk_1", None),
        ("other.run", "disk_2", "https://other.example/core/v1"),
        ("night.csv.run", "disk_3", None),
        ("night.csv.2.run", "disk_3", None),
        ("gone.csv.run", "disk_3", None),
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
_HERE = ("--base-url", "http://127.0.0.1:9/core/v1", "--yes")
_LOADS: list[tuple[tuple[str, ...], str]] = [
    (_HERE, "give one of --rate, --poisson, --ramp"),
    (("--rate", "5", "--in-flight", "2", *_HERE), "give one of --rate, --poisson, --ramp"),
    (("--rate", "5", "--think", "1s", *_HERE), "--think is the pause of a user in a closed loop"),
    (("--rate", "5", "--manifest", "plan.csv", "--yes"), "add --i-own-this api.katapult.io"),
    (("--rate", "5", *_HERE), "Add --manifest or --organization"),
    (("list", "--rate", "5", *_HERE), "Add --organization"),
    (("assign", "--rate", "5", *_HERE), "Add --manifest"),
    (("delete", "--rate", "5", *_HERE), "there is no load test 'delete'"),
    (("disk=x", "--rate", "5", *_HERE), "expected a weight"),
    (("disk=0", "--rate", "5", *_HERE), "a weight must be above 0"),
    (("assign", "--manifest", "bad.csv", "--rate", "5", *_HERE), "fix the manifest"),
    (("--manifest", "none.csv", "--rate", "5", *_HERE), "none.csv"),
    (("--rate", "0", *_HERE), "expected a rate above 0"),
    (("--rate", "1000000", *_HERE), "at most 100,000 per second"),
    (("--ramp", "10", *_HERE), "expected two rates"),
    (("--rate", "5", "--for", "0", *_HERE), "duration must be at least 0.1"),
    (("--rate", "5", "--for", "soon", *_HERE), "expected a duration"),
    (("--rate", "5", "--part", "3/2", *_HERE), "expected a share such as 1/4"),
    (("--rate", "5", "--start-at", "now", *_HERE), "expected a time"),
    (("--rate", "5", "--manifest", "plan.csv", "--start-at", "2020-01-01T00:00Z", *_HERE), "in the future"),
    (("--rate", "5", "--fail-if", "p99>1", *_HERE), "needs a unit of time"),
    (("--rate", "5", "-o", "none/a.json", *_HERE), "cannot write none/a.json"),
    (("--rate", "5", "--html", "folder", *_HERE), "it is a folder"),
    (("--rate", "5", "--hlog", "", *_HERE), "--hlog is empty"),
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
    *(
        BadInput((command, "night.csv"), "Give the journal of that manifest: night.csv.2.run")
        for command in ("status", "report", "resume", "rollback")
    ),
    BadInput(("status", "gone.csv"), "Give the journal of that manifest: gone.csv.run"),
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
    *(BadInput(("load", "run", *given), words) for given, words in _LOADS),
    BadInput(("load", "show", ""), "RESULT is empty"),
    BadInput(("load", "show", "none.json"), "cannot read none.json: No such file"),
    BadInput(("load", "show", "folder"), "cannot read folder"),
    BadInput(("load", "show", "text.run"), "text.run is not the result of a load test"),
    BadInput(("load", "show", "text.run", "--fail-if", "p99"), "expected a condition such as"),
    BadInput(("load", "report", "text.run", "-o", "a.pdf"), "cannot tell the format"),
    BadInput(("load", "report", "text.run", "-o", "none/a.html"), "cannot write none/a.html"),
    BadInput(("load", "report", "text.run", "-o", "a.html"), "not the result of a load test"),
    BadInput(("load", "compare", "none.json", f"{ESCAPES}.json"), "cannot read none.json"),
    BadInput(("load", "merge", "text.run", "-o", "folder"), "it is a folder"),
    BadInput(("load", "merge", f"{ESCAPES}.json", "-o", "a.json"), "cannot read"),
    *(BadInput((*_PLAN, "--base-url", url), words) for url, words in _BASE_URLS),
    *(BadInput(_ASSIGN, words, env=(("KATAPULT_BASE_URL", url),)) for url, words in _BASE_URLS[:6]),
    *(BadInput((*_ASSIGN, option, value), option.strip("-").replace("-", "")) for option, value in _NUMBERS),
    *(BadInput(_ASSIGN, words, env=(("KATAPULT_API_KEY", token),)) for token, words in _TOKENS),
    *(BadInput(("assign", "-", "--no-preflight", "--yes"), words, stdin=text) for text, words in _MANIFESTS),
]
