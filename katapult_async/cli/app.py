"""The commands with their options and help. Each command imports what it needs when it runs."""

from __future__ import annotations

import sys
from enum import Enum
from typing import Annotated, Optional

import typer

from katapult_async.cli.options import (
    Attach,
    Canary,
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

__all__ = ["app", "emulator_commands", "load_commands", "settings_commands"]


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

    Reads the organization's disks and virtual machines. Changes nothing. Exits with 1 if some lines
    cannot be assigned.
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
        bool, typer.Option("--preflight/--no-preflight", help="Read the current state first.")
    ] = True,
    thorough: Thorough = False,
    attach: Attach = False,
    yes: Yes = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Change nothing: the same as plan.")] = False,
    canary: Canary = None,
    max_failures: MaxFailures = None,
    task_timeout: TaskTimeout = 600,
    *,
    connection: Connection,
    screen: Screen,
) -> None:
    """Assign the disks of a manifest to virtual machines.

    Checks the whole manifest before the first request. Then shows the current state and the cost,
    and asks.

    A journal records every line. The same command resumes a run that has stopped.
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


def _checked_action(name: str) -> str:
    from katapult_async.cli.run import checked_action

    return checked_action(name)


@command(
    "run resize sizes.csv", "run start machines.csv --dry-run", "run create disks.jsonl --yes", name="run"
)
def run_action(
    action: Annotated[
        str,
        typer.Argument(
            metavar="ACTION",
            show_default=False,
            is_eager=True,  # reports an unknown action before a missing manifest
            callback=_checked_action,
            help="What to do with each line. An unknown action lists all.",
        ),
    ],
    manifest: Annotated[
        str,
        typer.Argument(
            metavar="MANIFEST",
            show_default=False,
            help="CSV with the columns of the action, or JSON Lines. - reads standard input.",
        ),
    ],
    run: NewRun = None,
    yes: Yes = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Check the manifest, show what it costs, change nothing.")
    ] = False,
    canary: Canary = None,
    max_failures: MaxFailures = None,
    task_timeout: TaskTimeout = 600,
    *,
    connection: Connection,
    screen: Screen,
) -> None:
    """Carry out another action on each line of a manifest.

    The columns are the fields of the action: disk and size_in_gb for resize, virtual_machine for
    start and stop, organization, name, data_center and size_in_gb for create. The run waits for
    tasks.

    A journal records every line. The same command resumes a run that has stopped. A line that may
    have been executed, and cannot be read back, is unknown and never sent again.
    """
    from katapult_async.cli.assign import Wanted, run_assign
    from katapult_async.cli.run import run_cost

    sources = connection.sources()
    settings = connection.settings(sources)
    run = checked_file("--run", run)
    screen.start_log()
    if dry_run:
        sys.exit(run_cost(manifest, action=action, screen=screen, settings=settings))
    wanted = Wanted(
        action=action,
        yes=yes,
        task_timeout=task_timeout,
        canary=canary,
        max_failures=max_failures,
        preflight=False,
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

    Reads lines back that were sent and have no outcome, so that nothing is executed twice. Asks
    first if its canary has not passed, or if --max-failures has stopped it. For a run that never
    started, makes the preflight and asks, like assign.
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

    Detaches the disks that the run attached, and unassigns the disks that the run assigned.

    Reads each disk first. Leaves boot disks alone, and disks that are on another machine now.

    A rollback is a run with its own journal. The same command resumes it, and tries failed lines
    again. A run that was rolled back cannot be resumed.
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

    Reads the journal only, also while another process executes the run. Needs no token.
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

    Shows state, counts and time of each run. Exits with 1 if a journal is damaged.
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

    A table and an HTML page show totals and failures. CSV, JSON and JSON Lines have every line. A
    manifest has the lines that are not done, for another run. --status and --all choose other
    lines.
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


# The help lists commands in the order in which they are registered.
from katapult_async.cli import emulator_commands, load_commands, settings_commands  # noqa: E402
