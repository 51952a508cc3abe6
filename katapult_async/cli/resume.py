"""`resume`: continue a run that was interrupted or killed."""

from __future__ import annotations

import sys

from katapult_async.cli.access import check_host, token_for
from katapult_async.cli.execute import carry_out
from katapult_async.cli.exit_codes import bad_input
from katapult_async.cli.options import Screen
from katapult_async.cli.prepare import ask_to_continue, can_be_asked, prepare
from katapult_async.cli.settings import Sources
from katapult_async.cli.signals import run_loop
from katapult_async.cli.words import counted
from katapult_async.client import ClientSettings
from katapult_async.jobs import JournalError, Run, RunState


def run_resume(
    run_file: str,
    *,
    retry_failed: bool,
    records_lost: bool,
    yes: bool,
    task_timeout: float,
    max_failures: int | None,
    screen: Screen,
    settings: ClientSettings,
    sources: Sources,
) -> int:
    """Continue a run, after preflight and confirmation if they are missing.

    Returns:
        The exit code.
    """
    token = token_for(sources, settings)
    try:
        with Run.open(run_file, records_lost=records_lost) as run:
            check_host(run_file, run.info, settings)
            if run.needs_preflight or (run.needs_confirmation and not run.resumed):
                code = can_be_asked(yes=yes)
                if code is None:
                    code = prepare(run, token, settings, screen=screen, yes=yes)
                if code is not None:
                    return code
            elif run.needs_confirmation or run.summary().state is RunState.STOPPED_EARLY:
                # Nobody has agreed to send the rest after a canary, or after too many failures.
                code = ask_to_continue(run, settings, yes=yes)
                if code is not None:
                    return code
            if retry_failed:
                print(f"trying {counted(run.retry_failed(), 'failed line')} again", file=sys.stderr)
            return run_loop(
                carry_out(
                    run, token, settings, screen=screen, task_timeout=task_timeout, max_failures=max_failures
                )
            )
    except JournalError as exc:
        return bad_input(str(exc))
