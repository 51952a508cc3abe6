"""`plan` and `assign`: the manifest is checked whole, then looked ahead with, then carried out as a durable run."""

from __future__ import annotations

import contextlib
import os
import sys
import time

from katapult_async import Client
from katapult_async.cli.bulk import (
    INTERRUPTED,
    OK,
    SOME_NOT,
    bad_input,
    carry_out,
    console_for,
    look,
    run_loop,
)
from katapult_async.cli.foresight import as_json as preflight_json
from katapult_async.cli.foresight import show
from katapult_async.client import Settings
from katapult_async.jobs import JournalError, Manifest, ManifestCheck, ManifestError, Preflight, Run, preview
from katapult_async.jobs.place import Place, place_for
from katapult_async.transport import DEFAULT_BASE_URL


def token_or_reason(settings: Settings) -> tuple[str, str]:
    """The token of the environment, and why it (or another setting) cannot be used: empty if it can."""
    token = os.environ.get("KATAPULT_API_KEY", "")
    if not token:
        return "", "the environment variable KATAPULT_API_KEY is not set: put the API token there"
    try:
        client = Client(token, **settings)
    except ValueError as exc:
        return "", str(exc)
    if "base_url" in settings:
        settings["base_url"] = client.base_url
    return token, ""


def open_checked(name: str) -> Manifest:
    """Raises ManifestError, saying why it cannot be read, or after saying what is wrong with which line."""
    with contextlib.ExitStack() as stack:
        try:
            # There is no sys.stdin at all when it was closed (`<&-`).
            stdin = sys.stdin.buffer if sys.stdin is not None else None
            manifest = stack.enter_context(Manifest.open(name, stdin=stdin))
            _complain(manifest.check())
        except KeyboardInterrupt:
            print("interrupted while the manifest was read: nothing was sent", file=sys.stderr)
            raise SystemExit(INTERRUPTED) from None
        stack.pop_all()
    return manifest


def _complain(checked: ManifestCheck) -> None:
    if checked.ok:
        return
    for complaint in checked.complaints:
        print(complaint, file=sys.stderr)
    more = checked.complaint_count - len(checked.complaints)
    if more > 0:
        print(f"and {more} more", file=sys.stderr)
    raise ManifestError("nothing was sent: mend the manifest and run it again")


def run_plan(
    name: str, *, organization: str, attach: bool, thorough: bool, as_json: bool, settings: Settings
) -> int:
    """Look ahead; the exit code."""
    token, reason = token_or_reason(settings)
    if reason:
        return bad_input(reason)
    try:
        with open_checked(name) as manifest:
            result: Preflight | int = run_loop(
                look(
                    lambda client: preview(client, manifest, organization, attach=attach, thorough=thorough),
                    token,
                    settings,
                    as_json=as_json,
                )
            )
    except ManifestError as exc:
        return bad_input(str(exc))
    if isinstance(result, int):
        return result
    if as_json:
        print(preflight_json(result), flush=True)
    else:
        show(console_for(as_json=False), result, period=settings.get("rate_window", 60.0), now=time.time())
    impossible = sum(count for found, count in result.counts.items() if found.is_impossible)
    return SOME_NOT if impossible else OK


def run_assign(
    name: str,
    *,
    run_file: str | None,
    organization: str | None,
    preflight: bool,
    thorough: bool,
    attach: bool,
    yes: bool,
    task_timeout: float,
    as_json: bool,
    settings: Settings,
) -> int:
    """Carry out a manifest, or go on with it; the exit code."""
    token, reason = token_or_reason(settings)
    if reason:
        return bad_input(reason)
    try:
        with open_checked(name) as manifest:
            place = place_for(name, manifest.check(), attach=attach, run=run_file)
            if preflight and organization is None and not place.begun:
                return bad_input(
                    "whose disks? Name the organization (--organization, or KATAPULT_ORGANIZATION) so that what is "
                    "there already is seen first, or do without that look with --no-preflight"
                )
            run = _open(place, manifest, attach=attach, settings=settings)
        with run:
            print(_said_first(run, place), file=sys.stderr)
            if not place.begun:
                code = _prepare(
                    run,
                    organization if preflight else None,
                    token,
                    settings,
                    thorough=thorough,
                    as_json=as_json,
                    ask=not yes and name != "-",
                )
                if code is not None:
                    run.discard()
                    return code
            return run_loop(carry_out(run, token, settings, as_json=as_json, task_timeout=task_timeout))
    except (ManifestError, JournalError) as exc:
        return bad_input(str(exc))


def _open(place: Place, manifest: Manifest, *, attach: bool, settings: Settings) -> Run:
    if place.begun:
        return Run.open(place.path)
    if place.unsent:
        Run.open(place.path).discard()
    return Run.create(
        place.path, manifest, attach=attach, base_url=settings.get("base_url", DEFAULT_BASE_URL)
    )


def _said_first(run: Run, place: Place) -> str:
    if place.begun:
        return f"going on with the unfinished run of this manifest: {place.path}"
    lines = "1 line" if run.info.lines == 1 else f"{run.info.lines} lines"
    return f"{lines}; the journal of this run is {place.path}"


def _prepare(
    run: Run,
    organization: str | None,
    token: str,
    settings: Settings,
    *,
    thorough: bool,
    as_json: bool,
    ask: bool,
) -> int | None:
    """Look first, if an organization is given, and ask; None to go on, an exit code if there will be no run."""
    changes = f"{run.info.lines}"
    if organization is not None:
        result: Preflight | int = run_loop(
            look(
                lambda client: run.preflight(client, organization, thorough=thorough),
                token,
                settings,
                as_json=as_json,
            )
        )
        if isinstance(result, int):
            return result
        show(console_for(as_json=as_json), result, period=settings.get("rate_window", 60.0), now=time.time())
        if not (result.assign_requests or result.attach):
            return None
        changes = f"{result.assign_requests}"
        if result.attach:
            changes = f"up to {result.assign_requests + result.attach}"  # some may be attached already
    return confirmed(f"Go on with {changes} change{'' if changes == '1' else 's'}?") if ask else None


def confirmed(question: str) -> int | None:
    """Ask on a terminal; without one nobody is there to ask. None for yes, else an exit code."""
    if sys.stdin is None or not sys.stdin.isatty() or not sys.stderr.isatty():
        return None
    try:
        print(f"{question} [y/N] ", end="", file=sys.stderr, flush=True)
        answer = sys.stdin.readline()
    except KeyboardInterrupt:
        print(file=sys.stderr)
        return INTERRUPTED
    if answer.strip().lower() in ("y", "yes"):
        return None
    print("nothing was sent", file=sys.stderr)
    return SOME_NOT
