"""The commands with their options and help. Each one imports what it needs when it runs."""

from __future__ import annotations

import sys
from enum import Enum
from pathlib import Path
from typing import Annotated, Optional

import typer

from katapult_async.cli.numbers import decimal, whole
from katapult_async.cli.options import (
    DAY,
    Attach,
    Connection,
    ManifestName,
    MaxFailures,
    NewRun,
    Organization,
    RunFile,
    Screen,
    TaskTimeout,
    Thorough,
    Yes,
    checked_file,
    checked_run,
)
from katapult_async.cli.program import app, command
from katapult_async.cli.settings import ORGANIZATION

__all__ = ["Kind", "app", "settings_commands"]


@command("plan plan.csv --organization acme", "plan plan.csv --json")
def plan(
    manifest: ManifestName,
    organization: Organization = None,
    attach: Attach = False,
    thorough: Thorough = False,
    *,
    connection: Connection,
    screen: Screen,
) -> None:
    """Show what assigning a manifest would find and cost.

    Reads the organization's disks and virtual machines. Changes nothing. Exits with 1 if some lines cannot be assigned.
    """
    from katapult_async.cli.plan import run_plan

    sources = connection.sources(organization)
    settings = connection.settings(sources)
    organization = sources.find(ORGANIZATION).value
    screen.start_log()
    sys.exit(
        run_plan(
            manifest,
            organization=organization,
            attach=attach,
            thorough=thorough,
            screen=screen,
            settings=settings,
            sources=sources,
        )
    )


@command(
    "assign plan.csv --organization acme",
    "assign plan.csv --organization acme --canary 10",
    "assign plan.csv --no-preflight --yes --json > outcomes.jsonl",
)
def assign(
    manifest: ManifestName,
    run: NewRun = None,
    organization: Organization = None,
    preflight: Annotated[
        bool, typer.Option("--preflight/--no-preflight", help="Look first at what is there.")
    ] = True,
    thorough: Thorough = False,
    attach: Attach = False,
    yes: Yes = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Change nothing: the same as plan.")] = False,
    canary: Annotated[
        Optional[int],  # noqa: UP045
        typer.Option(parser=whole(1), metavar="N", help="Assign N lines, then ask before the rest."),
    ] = None,
    max_failures: MaxFailures = None,
    task_timeout: TaskTimeout = 600,
    *,
    connection: Connection,
    screen: Screen,
) -> None:
    """Assign the disks of a manifest to virtual machines.

    The manifest is checked whole before the first request. Then the command shows what is there, and asks.

    A journal records every line. Whatever ends the run, the same command resumes it.
    """
    from katapult_async.cli.assign import Wanted, run_assign
    from katapult_async.cli.plan import run_plan

    sources = connection.sources(organization)
    settings = connection.settings(sources)
    organization = sources.find(ORGANIZATION).value
    run = checked_file("--run", run)
    screen.start_log()
    if dry_run:
        sys.exit(
            run_plan(
                manifest,
                organization=organization,
                attach=attach,
                thorough=thorough,
                screen=screen,
                settings=settings,
                sources=sources,
            )
        )
    wanted = Wanted(
        organization=organization,
        preflight=preflight,
        thorough=thorough,
        attach=attach,
        yes=yes,
        task_timeout=task_timeout,
        canary=canary,
        max_failures=max_failures,
    )
    sys.exit(
        run_assign(manifest, run_file=run, wanted=wanted, screen=screen, settings=settings, sources=sources)
    )


@command("resume plan.csv.run", "resume plan.csv.run --retry-failed")
def resume(
    run: RunFile,
    retry_failed: Annotated[
        bool, typer.Option("--retry-failed", help="Try failed lines again, too.")
    ] = False,
    records_lost: Annotated[
        bool,
        typer.Option("--records-lost", help="The latest records are lost: read every disk first."),
    ] = False,
    yes: Yes = False,
    max_failures: MaxFailures = None,
    task_timeout: TaskTimeout = 600,
    *,
    connection: Connection,
    screen: Screen,
) -> None:
    """Continue a run that was interrupted or killed.

    Lines that were sent and have no outcome are read back first, so that nothing is sent twice. A run that never
    started is looked at and asked about first, as assign does it.
    """
    from katapult_async.cli.resume import run_resume

    sources = connection.sources()
    settings = connection.settings(sources)
    screen.start_log()
    sys.exit(
        run_resume(
            checked_run(run),
            retry_failed=retry_failed,
            records_lost=records_lost,
            yes=yes,
            task_timeout=task_timeout,
            max_failures=max_failures,
            screen=screen,
            settings=settings,
            sources=sources,
        )
    )


@command("rollback plan.csv.run", "rollback plan.csv.run --yes")
def rollback(
    run: RunFile,
    new_run: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option("--run", metavar="FILE", help="Journal of the rollback. [default: RUN.rollback]"),
    ] = None,
    yes: Yes = False,
    max_failures: MaxFailures = None,
    task_timeout: TaskTimeout = 600,
    *,
    connection: Connection,
    screen: Screen,
) -> None:
    """Undo exactly what a run did.

    It detaches the disks that the run attached, and unassigns the disks that the run assigned.

    Each disk is read first. Boot disks, and disks that have moved to another machine since, are left alone.

    A rollback is a run with its own journal. The same command resumes it, or tries again what failed. A run that has
    been rolled back cannot be resumed.
    """
    from katapult_async.cli.rollback import run_rollback

    sources = connection.sources()
    settings = connection.settings(sources)
    new_run = checked_file("--run", new_run)
    screen.start_log()
    sys.exit(
        run_rollback(
            checked_run(run),
            run_file=new_run,
            yes=yes,
            task_timeout=task_timeout,
            max_failures=max_failures,
            screen=screen,
            settings=settings,
            sources=sources,
        )
    )


class Form(str, Enum):
    """The formats of a report."""

    table = "table"
    csv = "csv"
    json = "json"
    jsonl = "jsonl"
    html = "html"
    manifest = "manifest"


@command("status plan.csv.run", "status plan.csv.run --watch", "status plan.csv.run --json")
def status(
    run: RunFile,
    as_json: Annotated[bool, typer.Option("--json", help="Write one JSON object.")] = False,
    watch: Annotated[
        bool, typer.Option("--watch", help="Show progress until the run ends, then exit with its code.")
    ] = False,
) -> None:
    """Show where a run stands and what to do next.

    Reads the journal only, also while another process executes the run. No token is needed.
    """
    from katapult_async.cli.status import run_status

    sys.exit(run_status(checked_run(run), as_json=as_json, watch=watch))


@command("runs", "runs /srv/manifests --json")
def runs(
    folder: Annotated[
        str,
        typer.Argument(metavar="[FOLDER]", show_default=False, help="Folder of the journals. [default: .]"),
    ] = ".",
    as_json: Annotated[bool, typer.Option("--json", help="Write one JSON object.")] = False,
) -> None:
    """List the runs of a folder.

    Shows state, counts and the time of each. Exits with 1 if a journal is damaged.
    """
    from katapult_async.cli.runs import run_runs

    sys.exit(run_runs(checked_file("FOLDER", folder) or ".", as_json=as_json))


@command(
    "report plan.csv.run",
    "report plan.csv.run --status failed,waiting",
    "report plan.csv.run -o report.html",
    "report plan.csv.run --format manifest -o rest.csv",
)
def report(
    run: RunFile,
    form: Annotated[
        Optional[Form],  # noqa: UP045 - typer evaluates it
        typer.Option("--format", help="Format. [default: by the name of FILE, else table]"),
    ] = None,
    output: Annotated[
        Optional[str],  # noqa: UP045 - typer evaluates it
        typer.Option("--output", "-o", metavar="FILE", help="Write to a file. - is standard output."),
    ] = None,
    status: Annotated[
        Optional[str],  # noqa: UP045 - typer evaluates it
        typer.Option(
            "--status", metavar="STATUS", help="Lines with this status. Separate several by commas."
        ),
    ] = None,
    every_line: Annotated[bool, typer.Option("--all", help="Every line.")] = False,
) -> None:
    """Write what became of the lines of a run.

    A table and an HTML page show totals and failures. CSV, JSON and JSON Lines have every line. A manifest has the lines
    that are not done, for another run. --status and --all choose other lines.
    """
    from katapult_async.cli.report import run_report

    sys.exit(
        run_report(
            checked_run(run),
            form=form.value if form is not None else None,
            output=checked_file("--output", output),
            status=status,
            every_line=every_line,
        )
    )


@command("demo", "demo --disks 1000 --limit 300")
def demo(
    disks: Annotated[int, typer.Option(parser=whole(1), metavar="N", help="Disks to assign.")] = 300,
    virtual_machines: Annotated[
        int, typer.Option(parser=whole(1), metavar="N", help="Virtual machines to assign them to.")
    ] = 40,
    limit: Annotated[
        int, typer.Option(parser=whole(1), metavar="N", help="Requests permitted in a window.")
    ] = 120,
    window: Annotated[
        float, typer.Option(parser=decimal(1, DAY), metavar="SECONDS", help="Length of the server's window.")
    ] = 6,
    faults: Annotated[
        float, typer.Option(parser=decimal(0, 0.9), metavar="PART", help="Part of the requests that fail.")
    ] = 0.05,
    seed: Annotated[int, typer.Option(metavar="N", help="The same seed makes the same faults.")] = 0,
    *,
    screen: Screen,
) -> None:
    """Assign disks of an emulator, under a real rate limit. Nothing leaves this machine."""
    from katapult_async.cli.demo import run_demo

    screen.start_log()
    sys.exit(
        run_demo(
            disks=disks,
            virtual_machines=virtual_machines,
            limit=limit,
            window=window,
            faults=faults,
            seed=seed,
            screen=screen,
        )
    )


class Kind(str, Enum):
    """The emulator's kinds of limiters."""

    aligned = "aligned"
    fixed = "fixed"
    sliding = "sliding"
    bucket = "bucket"
    burst = "burst"


@app.command()
def emulate(
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 for any free one.")] = 0,
    disks: Annotated[int, typer.Option(min=0)] = 1000,
    virtual_machines: Annotated[int, typer.Option(min=1)] = 100,
    limit: Annotated[int, typer.Option(min=1, help="Requests permitted in a window.")] = 1000,
    limiter: Annotated[Kind, typer.Option(help="How requests are counted.")] = Kind.aligned,
    window: Annotated[float, typer.Option(min=0.1, help="Length of the window in seconds.")] = 60.0,
    headers: Annotated[bool, typer.Option(help="Send the rate limit headers.")] = True,
    latency: Annotated[float, typer.Option(min=0, help="Seconds for each request.")] = 0.0,
    faults: Annotated[
        float, typer.Option(min=0, max=0.9, help="Part of the requests that goes wrong.")
    ] = 0.0,
    token: Annotated[str, typer.Option(help="The token it accepts.")] = "token",  # noqa: S107 - the emulator's own
    plan_out: Annotated[
        Optional[Path], typer.Option(help="Write a plan for all its disks to this file.")  # noqa: UP045
    ] = None,
    seed: Annotated[int, typer.Option(help="Same seed: same IDs, and the same requests go wrong.")] = 0,
    ledger_out: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(help="Write what was requested and changed to this file (JSON) when it ends."),
    ] = None,
) -> None:
    """Serve the emulator on this machine until Ctrl-C.

    While it runs, its ledger can be read at /_emulator/ledger.
    """
    from katapult_async.cli.emulate import run_emulator
    from katapult_async.testing import Answers, Counting, Faults, KatapultEmulator

    emulator = KatapultEmulator(
        port=port,
        disks=disks,
        virtual_machines=virtual_machines,
        counting=Counting(limit=limit, limiter=limiter.value, period=window),
        answers=Answers(headers=headers),
        latency=latency,
        faults=Faults.everywhere(faults, seed=seed),
        seed=seed,
        tokens=(token,),
        keep_ledger=False,
    )
    sys.exit(run_emulator(emulator, token=token, window=window, plan_out=plan_out, ledger_out=ledger_out))


# The help lists commands in the order in which they are registered.
from katapult_async.cli import settings_commands  # noqa: E402
