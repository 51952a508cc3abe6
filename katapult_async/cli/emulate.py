"""`emulate`: serve the emulator until Ctrl-C."""

from __future__ import annotations

import asyncio
import csv
import sys
from contextlib import ExitStack
from pathlib import Path

from katapult_async.cli.exit_codes import OK, bad_input, refuse
from katapult_async.cli.signals import on_signals, run_loop
from katapult_async.testing import KatapultEmulator, LimiterKind
from katapult_async.testing.watching import ledger_of


def checked_limiter(kind: str) -> LimiterKind:
    """Return the kind of a limiter. Exits with 2 if the name is unknown."""
    try:
        return LimiterKind(kind)
    except ValueError:
        refuse(f"there is no limiter {kind[:50]!r}: choose one of {', '.join(LimiterKind)}")


def run_emulator(
    emulator: KatapultEmulator, *, token: str, window: float, plan_out: Path | None, ledger_out: Path | None
) -> int:
    """Serve until Ctrl-C, and return the exit code."""
    return run_loop(_serve(emulator, token=token, window=window, plan_out=plan_out, ledger_out=ledger_out))


async def _serve(
    emulator: KatapultEmulator, *, token: str, window: float, plan_out: Path | None, ledger_out: Path | None
) -> int:
    asked_for = emulator.port
    try:
        await emulator.start()
    except OSError as exc:
        return bad_input(f"cannot listen on port {asked_for}: {exc.strerror}")
    try:
        # Only now: an emulator that cannot start leaves the files of another one alone.
        for path, write in ((plan_out, _write_plan), (ledger_out, _write_ledger)):
            if path is not None:
                try:
                    write(path, emulator)
                except OSError as exc:
                    return bad_input(f"cannot write {path}: {exc.strerror}")
        plan = plan_out or "PLAN"
        example = f"KATAPULT_API_KEY={token} katapult-async assign --base-url {emulator.url} --organization acme {plan}"
        if window != 60:
            example += f" --window {window:g}"
        print(f"the emulator listens on {emulator.url} and accepts the token {token!r}; Ctrl-C ends it")
        print(f"  {example}")
        print(f"  ledger: {emulator.ledger_url}", flush=True)
        stop = asyncio.Event()
        with ExitStack() as stack:
            on_signals(stack, stop.set)
            await stop.wait()
    finally:
        await emulator.stop()
    ledger = emulator.ledger
    changes = ledger.applied_total.total()
    print(f"{ledger.total} requests, {ledger.refusals} of them 429; {changes} changes")
    sys.stdout.flush()
    if ledger_out is not None:
        try:
            _write_ledger(ledger_out, emulator)
        except OSError as exc:
            return bad_input(f"cannot write {ledger_out}: {exc.strerror}")
    return OK


def _write_ledger(path: Path, emulator: KatapultEmulator) -> None:
    path.write_bytes(ledger_of(emulator) + b"\n")


def _write_plan(path: Path, emulator: KatapultEmulator) -> None:
    machines = emulator.virtual_machine_ids
    with path.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["disk", "virtual_machine"])
        writer.writerows(
            (disk, machines[number % len(machines)]) for number, disk in enumerate(emulator.disk_ids)
        )
