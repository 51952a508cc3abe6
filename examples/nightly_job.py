"""A nightly job: assign the disks of a manifest, and continue where an earlier night has stopped.

    30 2 * * *  KATAPULT_API_KEY=… python nightly_job.py acme plan.csv || mail-the-output

Each night continues the unfinished run of the manifest, or begins a new run, and tries the lines
again that have failed. After a crash the run first reads back what was sent, so no change is made
twice.
"""

from __future__ import annotations

import asyncio
import signal
import sys

from katapult_async import Client, KatapultError
from katapult_async.jobs import JournalError, JournalLocked, ManifestError, Run, RunSummary, write_report


async def execute(run: Run) -> RunSummary:
    """Execute a run until it is done or SIGTERM arrives. What is in flight then ends first."""
    loop = asyncio.get_running_loop()
    if sys.platform != "win32":
        loop.add_signal_handler(signal.SIGTERM, run.stop)
    # Other programs of this user on the same token share its rate limit.
    async with Client.from_env(budget="file") as client:
        if run.needs_preflight:
            await run.preflight(client)
        return await run.execute(client, max_failures=100)


def main(organization: str, manifest: str) -> int:
    """Return 0 if every line is done, 1 if some are not, and 2 if nothing could be executed."""
    try:
        with Run.open_or_create(manifest, organization=organization, preflight=True) as run:
            if run.resumed:
                run.retry_failed()
            summary = asyncio.run(execute(run))
            write_report(run, f"{manifest}.html")
    except JournalLocked as error:
        print(f"the job of an earlier night is still running: {error}", file=sys.stderr)
        return 2
    except (JournalError, ManifestError, KatapultError) as error:
        print(error, file=sys.stderr)
        return 2
    print({str(status): count for status, count in summary.counts.items()})
    if run.refused_by is not None:
        print(f"the API ended the run: {run.refused_by}", file=sys.stderr)
    return 0 if summary.ok else 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
