"""What the commands do: make a client, run it, show it, and say by the exit code how it went."""

from __future__ import annotations

import asyncio
import csv
import os
import signal
import sys
from collections.abc import Callable, Coroutine, Iterable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

from rich.console import Console

from katapult_async import Assignment, BulkReport, Client, Outcomes, RetryPolicy, Timeout
from katapult_async.cli.app import BAD_INPUT, INTERRUPTED, OK, REFUSED, SOME_NOT
from katapult_async.cli.progress import Progress, as_json_line, closing, report_json
from katapult_async.jobs import Manifest, ManifestError


def run_demo(
    *, disks: int, virtual_machines: int, limit: int, window: float, faults: float, seed: int
) -> int:
    """The demonstration; the exit code."""
    from katapult_async.testing import Faults, KatapultEmulator

    async def main() -> int:
        emulator = KatapultEmulator(
            disks=disks,
            virtual_machines=virtual_machines,
            limit=limit,
            period=window,
            latency=(0.02, 0.1),
            faults=Faults.everywhere(faults, seed=seed),
        )
        async with emulator:
            machines = emulator.virtual_machine_ids
            items = [
                Assignment(disk, machines[number % len(machines)])
                for number, disk in enumerate(emulator.disk_ids)
            ]
            print(
                f"{disks} disks onto {virtual_machines} virtual machines of an emulator that permits {limit} requests "
                f"in {window:g} s; {faults:.0%} of them go wrong. Nothing leaves this machine.",
                flush=True,
            )
            settings: dict[str, object] = {
                "base_url": emulator.url,
                "rate_window": window,
                "timeout": Timeout(total=1.0),
                "retry": RetryPolicy(base=0.1, cap=1.0),
            }
            code = await _assign("token", items, len(items), as_json=False, settings=settings)
            twice = len(emulator.ledger.applied_more_than_once())
            there = sum(
                emulator.world.disks[item.disk].virtual_machine == item.virtual_machine for item in items
            )
            print(f"The emulator's own ledger: {there} disks where they were wanted, {twice} applied twice.")
            return code

    return _run(main())


def run_assign(plan: str, *, as_json: bool, settings: dict[str, object]) -> int:
    """`assign PLAN`; the exit code."""
    token = os.environ.get("KATAPULT_API_KEY", "")
    if not token:
        return _bad("the environment variable KATAPULT_API_KEY is not set: put the API token there")
    try:
        Client(token, **settings)  # type: ignore[arg-type]  # built by typer from checked options
        with Manifest.open(plan, stdin=sys.stdin.buffer) as manifest:
            check = manifest.check()
            if not check.ok:
                for complaint in check.complaints:
                    print(complaint, file=sys.stderr)
                more = check.complaint_count - len(check.complaints)
                if more > 0:
                    print(f"and {more} more", file=sys.stderr)
                return _bad("nothing was sent: mend the plan and run it again")
            items = (Assignment(line.disk, line.virtual_machine) for line in manifest)
            return _run(_assign(token, items, check.lines, as_json=as_json, settings=settings))
    except (ManifestError, ValueError) as exc:
        return _bad(str(exc))


def _bad(reason: str) -> int:
    print(f"katapult-async: {reason}", file=sys.stderr)
    return BAD_INPUT


async def _assign(
    token: str, items: Iterable[Assignment], total: int, *, as_json: bool, settings: dict[str, object]
) -> int:
    console = Console(stderr=as_json)
    progress = Progress(console, total=total)
    client = Client(token, observer=progress, **settings)  # type: ignore[arg-type]
    interrupted = False
    async with client, AsyncExitStack() as stack:
        run = client.disks.assign_each(items)
        with progress:
            try:
                async with run as outcomes:
                    on_signal(stack, outcomes, progress)
                    async for outcome in outcomes:
                        progress.outcome(outcome)
                        if as_json:
                            print(as_json_line(outcome), flush=True)
            except asyncio.CancelledError:
                # The second signal: what was in flight is in the report as unknown.
                interrupted = True
        interrupted = interrupted or progress.stopping
    missing = total - run.report.total
    if as_json:
        print(report_json(run.report, never_pulled=missing), flush=True)
    closing(console, run.report, never_pulled=missing, interrupted=interrupted)
    return INTERRUPTED if interrupted else _exit_code(run.report)


def _exit_code(report: BulkReport) -> int:
    if report.stopped_by is not None:
        return REFUSED
    return OK if report.ok else SOME_NOT


def on_signal(stack: AsyncExitStack, outcomes: Outcomes, progress: Progress) -> None:
    """The first Ctrl-C or SIGTERM ends the run gently, the second one at once."""
    loop = asyncio.get_running_loop()
    task = asyncio.current_task()

    def handle() -> None:
        if progress.stopping and task is not None:
            task.cancel()
            return
        progress.stopping = True
        progress.note("stopping: waiting for what is in flight (once more to stop at once)")
        outcomes.stop()

    for number in (signal.SIGINT, signal.SIGTERM):
        try:
            loop.add_signal_handler(number, handle)
        except NotImplementedError:  # pragma: no cover - Windows: Ctrl-C cancels the run at once
            continue
        stack.callback(loop.remove_signal_handler, number)


def run_emulator(options: dict[str, object], *, faults: float, token: str, plan_out: Path | None) -> int:
    """`emulate`; the exit code."""
    from katapult_async.testing import Faults, KatapultEmulator

    async def main() -> int:
        emulator = KatapultEmulator(faults=Faults.everywhere(faults), **options)  # type: ignore[arg-type]
        try:
            await emulator.start()
        except OSError as exc:
            return _bad(f"cannot listen on port {options['port']}: {exc.strerror}")
        try:
            if plan_out is not None:
                _write_plan(plan_out, emulator.disk_ids, emulator.virtual_machine_ids)
            print(f"the emulator listens on {emulator.url} and accepts the token {token!r}; Ctrl-C ends it")
            print(
                f"  KATAPULT_API_KEY={token} katapult-async assign --base-url {emulator.url} {plan_out or 'PLAN'}"
            )
            sys.stdout.flush()
            stop = asyncio.Event()
            async with AsyncExitStack() as stack:
                for number in (signal.SIGINT, signal.SIGTERM):
                    asyncio.get_running_loop().add_signal_handler(number, stop.set)
                    stack.callback(asyncio.get_running_loop().remove_signal_handler, number)
                await stop.wait()
            ledger = emulator.ledger
            print(f"{ledger.total} requests, {ledger.refusals} of them 429; {len(ledger.applied)} changes")
        except OSError as exc:
            return _bad(f"cannot write {plan_out}: {exc.strerror}")
        else:
            return OK
        finally:
            await emulator.stop()

    return _run(main())


def _write_plan(path: Path, disks: Iterable[str], machines: list[str] | tuple[str, ...]) -> None:
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["disk", "virtual_machine"])
        writer.writerows((disk, machines[number % len(machines)]) for number, disk in enumerate(disks))


def _run(main: Coroutine[Any, Any, int]) -> int:
    try:
        import uvloop
    except ModuleNotFoundError:
        runner: Callable[[Coroutine[Any, Any, int]], int] = asyncio.run
    else:  # pragma: no cover - the same with the extra `speed`
        runner = uvloop.run
    try:
        return runner(main)
    except (
        KeyboardInterrupt,
        asyncio.CancelledError,
    ):  # pragma: no cover - a signal before the handlers are set
        return INTERRUPTED
