"""The commands and their options. Each one imports the rooms it needs when it runs."""

from __future__ import annotations

import importlib.metadata
import sys
from enum import Enum
from pathlib import Path
from typing import Annotated, Optional

import typer

from katapult_async.cli.terminal import is_plain

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


def _version(value: bool) -> None:
    if value:
        try:
            version = importlib.metadata.version("katapult-async")
        except importlib.metadata.PackageNotFoundError:
            version = "(not installed: run from its sources)"
        print(f"katapult-async {version}")
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


@app.command()
def assign(
    plan: Annotated[
        str,
        typer.Argument(
            metavar="PLAN", help="CSV with the header disk,virtual_machine; JSON Lines; - for stdin."
        ),
    ],
    as_json: Annotated[
        bool, typer.Option("--json", help="One JSON object a line on standard output.")
    ] = False,
    concurrency: Annotated[int, typer.Option(min=1, help="Requests in flight at most.")] = 32,
    per_virtual_machine: Annotated[int, typer.Option(min=1, help="Of these, on one machine.")] = 1,
    total_permitted: Annotated[
        Optional[int], typer.Option(min=1, help="Requests permitted per minute, if you know it.")  # noqa: UP045
    ] = None,
    max_per_second: Annotated[
        Optional[float], typer.Option(min=0.001, help="Your own ceiling.")  # noqa: UP045
    ] = None,
    base_url: Annotated[
        Optional[str], typer.Option(envvar="KATAPULT_BASE_URL", help="Of another installation.")  # noqa: UP045
    ] = None,
    window: Annotated[float, typer.Option(hidden=True, min=0.1)] = 60.0,
) -> None:
    """Assign the disks of a plan to virtual machines, with the token in KATAPULT_API_KEY.

    The plan is checked whole before the first request. Exit codes: 0 all assigned, 1 some not, 2 bad usage or input,
    3 the run was refused (token, network, scope, nobody there), 130 interrupted.
    """
    from katapult_async.cli.assign import run_assign
    from katapult_async.client import Settings

    settings = Settings(
        concurrency=concurrency,
        per_virtual_machine=per_virtual_machine,
        total_permitted=total_permitted,
        max_per_second=max_per_second,
        rate_window=window,
    )
    if base_url:
        settings["base_url"] = base_url
    sys.exit(run_assign(plan, as_json=as_json, settings=settings))


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
