"""The commands and their options. Each one imports the rooms it needs when it runs."""

from __future__ import annotations

import sys
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Optional

import typer

from katapult_async import __version__
from katapult_async.cli.terminal import is_plain

if TYPE_CHECKING:
    from katapult_async.client import Settings

app = typer.Typer(
    name="katapult-async",
    help="Bulk operations on the Katapult cloud API, as fast as its rate limit permits.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,  # they would show local variables, and among them the token
    add_completion=False,
    rich_markup_mode=None if is_plain(sys.stdout) or is_plain(sys.stderr) else "rich",
)


class Kind(str, Enum):
    """The emulator's kinds of limiters."""

    aligned = "aligned"
    fixed = "fixed"
    sliding = "sliding"
    bucket = "bucket"
    burst = "burst"


class Form(str, Enum):
    """The formats of a report."""

    table = "table"
    csv = "csv"
    json = "json"
    jsonl = "jsonl"
    html = "html"
    manifest = "manifest"


def _version(value: bool) -> None:
    if value:
        print(f"katapult-async {__version__}")
        raise typer.Exit


@app.callback()
def root(
    _version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Bulk operations on the Katapult cloud API, as fast as its rate limit permits."""


@app.command()
def demo(
    disks: Annotated[int, typer.Option(min=1, help="Disks to assign.")] = 300,
    virtual_machines: Annotated[int, typer.Option(min=1, help="Virtual machines to put them on.")] = 40,
    limit: Annotated[int, typer.Option(min=1, help="Requests permitted in a window.")] = 120,
    window: Annotated[float, typer.Option(min=1, help="Length of the server's window in seconds.")] = 6.0,
    faults: Annotated[
        float, typer.Option(min=0, max=0.9, help="Part of the requests that goes wrong.")
    ] = 0.05,
    seed: Annotated[int, typer.Option(help="The same seed makes the same faults.")] = 0,
) -> None:
    """Put some hundred disks on machines of an emulator, under a real rate limit. Nothing leaves this machine."""
    from katapult_async.cli.demo import run_demo

    sys.exit(
        run_demo(
            disks=disks,
            virtual_machines=virtual_machines,
            limit=limit,
            window=window,
            faults=faults,
            seed=seed,
        )
    )


# -- options that several commands share -----------------------------------------------------------------------------

ManifestName = Annotated[
    str,
    typer.Argument(
        metavar="MANIFEST",
        help="CSV with the header disk,virtual_machine (and attach, note); JSON Lines; - for stdin.",
    ),
]
RunFile = Annotated[str, typer.Argument(metavar="RUN", help="The journal of the run: MANIFEST.run.")]
NewRun = Annotated[
    Optional[str],  # noqa: UP045
    typer.Option("--run", metavar="FILE", help="Where its journal is kept. [default: beside the manifest]"),
]
Organization = Annotated[
    Optional[str],  # noqa: UP045
    typer.Option(envvar="KATAPULT_ORGANIZATION", help="org_… or its sub-domain: whose disks they are."),
]
Thorough = Annotated[
    bool, typer.Option("--thorough", help="Read each disk by itself, and compare data centres.")
]
Attach = Annotated[
    bool, typer.Option("--attach", help="Attach each disk after assigning it, where the machine runs.")
]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
TaskTimeout = Annotated[float, typer.Option(min=1, help="Seconds that attaching a disk may take.")]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON object a line on standard output.")]
Concurrency = Annotated[int, typer.Option(min=1, help="Requests in flight at most.")]
PerVirtualMachine = Annotated[int, typer.Option(min=1, help="Of these, on one machine.")]
TotalPermitted = Annotated[
    Optional[int],  # noqa: UP045
    typer.Option(min=1, help="Requests permitted per minute, if you know it."),
]
MaxPerSecond = Annotated[Optional[float], typer.Option(min=0.001, help="Your own ceiling.")]  # noqa: UP045
BaseUrl = Annotated[
    Optional[str],  # noqa: UP045
    typer.Option(envvar="KATAPULT_BASE_URL", help="Of another installation."),
]
AllowHttp = Annotated[
    bool, typer.Option("--allow-http", help="Send the token over http:// to another host, too.")
]
Window = Annotated[float, typer.Option(hidden=True, min=0.1)]
Log = Annotated[
    Optional[Path],  # noqa: UP045
    typer.Option(metavar="FILE", help="Append to this file what happens, request by request."),
]


def _settings(
    concurrency: int,
    per_virtual_machine: int,
    total_permitted: int | None,
    max_per_second: float | None,
    base_url: str | None,
    *,
    allow_http: bool,
    window: float,
) -> Settings:
    settings: Settings = {
        "concurrency": concurrency,
        "per_virtual_machine": per_virtual_machine,
        "total_permitted": total_permitted,
        "max_per_second": max_per_second,
        "rate_window": window,
        "allow_http": allow_http,
    }
    if base_url:
        settings["base_url"] = base_url
    return settings


def _log_to(file: Path | None) -> None:
    if file is None:
        return
    import logging

    try:
        handler = logging.FileHandler(file, encoding="utf-8")
    except OSError as exc:
        print(f"katapult-async: cannot write the log {file}: {exc.strerror}", file=sys.stderr)
        raise typer.Exit(2) from None
    handler.setFormatter(
        logging.Formatter(
            "%(asctime)s %(levelname)s %(name)s run=%(run_id)s request=%(request_id)s %(message)s"
        )
    )
    logger = logging.getLogger("katapult_async")
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG)


# -- commands --------------------------------------------------------------------------------------------------------


@app.command()
def plan(
    manifest: ManifestName,
    organization: Organization = None,
    attach: Attach = False,
    thorough: Thorough = False,
    as_json: AsJson = False,
    total_permitted: TotalPermitted = None,
    max_per_second: MaxPerSecond = None,
    base_url: BaseUrl = None,
    allow_http: AllowHttp = False,
    window: Window = 60.0,
    log: Log = None,
) -> None:
    """Show what assigning the disks of a manifest would find and cost. Changes nothing.

    Exit codes: 0 all can be assigned or are there already, 1 some cannot, 2 bad usage or input, 3 refused, 130
    interrupted.
    """
    from katapult_async.cli.assign import run_plan
    from katapult_async.cli.bulk import bad_input

    _log_to(log)
    if organization is None:
        sys.exit(bad_input("whose disks? Name the organization (--organization, or KATAPULT_ORGANIZATION)"))
    settings = _settings(
        32, 1, total_permitted, max_per_second, base_url, allow_http=allow_http, window=window
    )
    sys.exit(
        run_plan(
            manifest,
            organization=organization,
            attach=attach,
            thorough=thorough,
            as_json=as_json,
            settings=settings,
        )
    )


@app.command()
def assign(
    manifest: ManifestName,
    run: NewRun = None,
    organization: Organization = None,
    preflight: Annotated[bool, typer.Option(help="Look first at what is there already.")] = True,
    thorough: Thorough = False,
    attach: Attach = False,
    yes: Yes = False,
    task_timeout: TaskTimeout = 600.0,
    as_json: AsJson = False,
    concurrency: Concurrency = 32,
    per_virtual_machine: PerVirtualMachine = 1,
    total_permitted: TotalPermitted = None,
    max_per_second: MaxPerSecond = None,
    base_url: BaseUrl = None,
    allow_http: AllowHttp = False,
    window: Window = 60.0,
    log: Log = None,
) -> None:
    """Assign the disks of a manifest to virtual machines, with the token in KATAPULT_API_KEY.

    The manifest is checked whole before the first request. Every line is kept in a journal, so that whatever ends the
    run, running the same command again (or resume) goes on where it stopped. Exit codes: 0 all done, 1 some not, 2 bad
    usage or input, 3 the run was refused (token, network, scope, nobody there), 130 interrupted.
    """
    from katapult_async.cli.assign import run_assign

    _log_to(log)
    settings = _settings(
        concurrency,
        per_virtual_machine,
        total_permitted,
        max_per_second,
        base_url,
        allow_http=allow_http,
        window=window,
    )
    sys.exit(
        run_assign(
            manifest,
            run_file=run,
            organization=organization,
            preflight=preflight,
            thorough=thorough,
            attach=attach,
            yes=yes,
            task_timeout=task_timeout,
            as_json=as_json,
            settings=settings,
        )
    )


@app.command()
def resume(
    run: RunFile,
    retry_failed: Annotated[
        bool, typer.Option("--retry-failed", help="Try the lines that have failed again, too.")
    ] = False,
    task_timeout: TaskTimeout = 600.0,
    as_json: AsJson = False,
    concurrency: Concurrency = 32,
    per_virtual_machine: PerVirtualMachine = 1,
    total_permitted: TotalPermitted = None,
    max_per_second: MaxPerSecond = None,
    base_url: BaseUrl = None,
    allow_http: AllowHttp = False,
    window: Window = 60.0,
    log: Log = None,
) -> None:
    """Go on with a run that was interrupted or killed: what was sent without an answer is read back first."""
    from katapult_async.cli.runs import run_resume

    _log_to(log)
    settings = _settings(
        concurrency,
        per_virtual_machine,
        total_permitted,
        max_per_second,
        base_url,
        allow_http=allow_http,
        window=window,
    )
    sys.exit(
        run_resume(
            run, retry_failed=retry_failed, task_timeout=task_timeout, as_json=as_json, settings=settings
        )
    )


@app.command()
def rollback(
    run: RunFile,
    new_run: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option("--run", metavar="FILE", help="Where its journal is kept. [default: RUN.rollback]"),
    ] = None,
    yes: Yes = False,
    task_timeout: TaskTimeout = 600.0,
    as_json: AsJson = False,
    concurrency: Concurrency = 32,
    per_virtual_machine: PerVirtualMachine = 1,
    total_permitted: TotalPermitted = None,
    max_per_second: MaxPerSecond = None,
    base_url: BaseUrl = None,
    allow_http: AllowHttp = False,
    window: Window = 60.0,
    log: Log = None,
) -> None:
    """Take back exactly what a run did: detach what it attached, unassign what it assigned.

    Each disk is read right before. Boot disks, and disks that have gone to another machine since, are left alone. It is
    a run with a journal itself, and can be resumed; the same command again goes on with it, or tries again what could
    not be taken back. The run that is taken back is not gone on with from then on.
    """
    from katapult_async.cli.runs import run_rollback

    _log_to(log)
    settings = _settings(
        concurrency,
        per_virtual_machine,
        total_permitted,
        max_per_second,
        base_url,
        allow_http=allow_http,
        window=window,
    )
    sys.exit(
        run_rollback(
            run, run_file=new_run, yes=yes, task_timeout=task_timeout, as_json=as_json, settings=settings
        )
    )


@app.command()
def status(
    run: RunFile,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on standard output.")] = False,
    watch: Annotated[
        bool, typer.Option("--watch", help="Show it live until the run ends, then exit with the run's code.")
    ] = False,
) -> None:
    """Say where a run stands and what to do next, also while another process executes it.

    Reads the journal only: no request is sent, and no token is needed.

    Examples:
      katapult-async status plan.csv.run

      katapult-async status plan.csv.run --watch
    """
    from katapult_async.cli.status import run_status

    sys.exit(run_status(run, as_json=as_json, watch=watch))


@app.command()
def runs(
    folder: Annotated[
        Path, typer.Argument(metavar="[FOLDER]", help="The folder of the journals.", show_default=True)
    ] = Path(),
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on standard output.")] = False,
) -> None:
    """List the runs of a folder with their state. Exit code 1 if a journal is damaged.

    Examples:
      katapult-async runs

      katapult-async runs /var/lib/katapult --json
    """
    from katapult_async.cli.run_list import run_runs

    sys.exit(run_runs(folder, as_json=as_json))


@app.command()
def report(
    run: RunFile,
    form: Annotated[
        Optional[Form],  # noqa: UP045
        typer.Option(
            "--format", help="Format of the report. [default: that of the file's name, otherwise table]"
        ),
    ] = None,
    output: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option("--output", "-o", metavar="FILE", help="Write to a file. [default: standard output, -]"),
    ] = None,
    status: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option("--status", metavar="STATUS,…", help="Only lines with one of these statuses."),
    ] = None,
    every_line: Annotated[bool, typer.Option("--all", help="Every line.")] = False,
) -> None:
    """Report what became of the lines of a run.

    A table and an HTML page show totals and failures. CSV, JSON and JSON Lines hold every line. A manifest holds the lines
    that are not done, for another run. --status and --all choose other lines.

    Examples:
      katapult-async report plan.csv.run

      katapult-async report plan.csv.run --status failed,waiting

      katapult-async report plan.csv.run -o report.html

      katapult-async report plan.csv.run --format manifest -o rest.csv
    """
    from katapult_async.cli.report import run_report

    sys.exit(
        run_report(
            run, form=form.value if form else None, output=output, status=status, every_line=every_line
        )
    )


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
) -> None:
    """Serve the emulator on this machine until Ctrl-C."""
    from katapult_async.cli.emulate import run_emulator
    from katapult_async.testing import Faults, KatapultEmulator

    emulator = KatapultEmulator(
        port=port,
        disks=disks,
        virtual_machines=virtual_machines,
        limit=limit,
        limiter=limiter.value,
        period=window,
        headers=headers,
        latency=latency,
        faults=Faults.everywhere(faults),
        tokens=(token,),
        keep_ledger=False,  # it may serve for days: counters only
    )
    sys.exit(run_emulator(emulator, token=token, window=window, plan_out=plan_out))
