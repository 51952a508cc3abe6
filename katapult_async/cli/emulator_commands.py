"""The commands that start an emulator on this machine."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Optional

import typer

from katapult_async.cli.numbers import decimal, whole
from katapult_async.cli.options import DAY, Screen
from katapult_async.cli.program import command


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
    seed: Annotated[int, typer.Option(metavar="N", help="The same seed gives the same faults.")] = 0,
    *,
    screen: Screen,
) -> None:
    """Assign the disks of an emulator, under a rate limit. Sends nothing to other hosts."""
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


@command("emulate --port 8080 --limit 500 --plan-out plan.csv")
def emulate(
    port: Annotated[
        int, typer.Option(parser=whole(0, 65535), metavar="N", help="Port to listen on, 0 for any free one.")
    ] = 0,
    disks: Annotated[int, typer.Option(parser=whole(0), metavar="N", help="Disks it has.")] = 1000,
    virtual_machines: Annotated[
        int, typer.Option(parser=whole(1), metavar="N", help="Virtual machines it has.")
    ] = 100,
    limit: Annotated[
        int, typer.Option(parser=whole(1), metavar="N", help="Requests permitted in a window.")
    ] = 1000,
    limiter: Annotated[
        str, typer.Option(metavar="KIND", help="How requests are counted. An unknown kind lists all.")
    ] = "aligned",
    window: Annotated[
        float, typer.Option(parser=decimal(0.1, DAY), metavar="SECONDS", help="Length of the window.")
    ] = 60,
    headers: Annotated[bool, typer.Option(help="Send the rate limit headers.")] = True,
    latency: Annotated[
        float, typer.Option(parser=decimal(0, DAY), metavar="SECONDS", help="Time for each request.")
    ] = 0,
    faults: Annotated[
        float,
        typer.Option(
            parser=decimal(0, 0.9),
            metavar="PART",
            help="Part of the requests that fail. Some get no response, so the client waits for its time-out.",
        ),
    ] = 0,
    token: Annotated[
        str,
        typer.Option(metavar="TOKEN", help="The token it accepts."),
    ] = "token",  # noqa: S107 - the emulator's own
    plan_out: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(metavar="FILE", help="Write a manifest of all its disks to this file."),
    ] = None,
    seed: Annotated[int, typer.Option(metavar="N", help="The same seed gives the same IDs and faults.")] = 0,
    ledger_out: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(
            metavar="FILE", help="Write what was requested and changed to this file (JSON) when it ends."
        ),
    ] = None,
) -> None:
    """Serve the emulator on this machine until Ctrl-C.

    While it runs, its ledger can be read at /_emulator/ledger.
    """
    from katapult_async.cli.emulate import checked_limiter, run_emulator
    from katapult_async.testing import Answers, Counting, Faults, KatapultEmulator

    emulator = KatapultEmulator(
        port=port,
        disks=disks,
        virtual_machines=virtual_machines,
        counting=Counting(limit=limit, limiter=checked_limiter(limiter), period=window),
        answers=Answers(headers=headers),
        latency=latency,
        faults=Faults.everywhere(faults, seed=seed),
        seed=seed,
        tokens=(token,),
        keep_ledger=False,  # counters only, because the emulator may run for days
    )
    sys.exit(run_emulator(emulator, token=token, window=window, plan_out=plan_out, ledger_out=ledger_out))
