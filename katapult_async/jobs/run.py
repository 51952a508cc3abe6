"""A durable run: create it from a manifest, execute it, stop it, resume it, roll it back.

The kind of the run determines its steps (`steps`). All lines complete one step before the next step
begins. The journal is correct at every moment. So a run can be opened and resumed after any end of
its process.
"""

from __future__ import annotations

import contextlib
import time
from pathlib import Path
from typing import TYPE_CHECKING

from katapult_async.client import Client
from katapult_async.errors import KatapultError
from katapult_async.resources.bulk_runs import TASK_TIMEOUT
from katapult_async.transport.address import is_same_base_url

from .errors import JournalError, JournalMismatch
from .journal import Journal
from .journal.lock import RunLock
from .journal.new_run import Options, from_manifest
from .journal.records import RunInfo
from .journal.session import PREFLIGHT_HOLDS, recording, timing_preflight
from .journal.summary import RunSummary
from .location import location_for, why_not_resumed
from .manifest import Manifest
from .preflight.preflight import Preflight, make_preflight
from .steps.rollback import make_rollback
from .steps.runner import StepRunner

if TYPE_CHECKING:
    from typing_extensions import Unpack  # in typing from Python 3.11 on


class Run:
    """One run and its journal. While it is open, no other process can execute it.

        with Run.create("plan.csv.run", manifest) as run:
            async with Client.from_env() as client:
                await run.preflight(client, "acme")
                summary = await run.execute(client)

    Every method raises JournalError if the journal cannot be used.
    """

    def __init__(self, journal: Journal, lock: RunLock) -> None:
        self._journal = journal
        self._lock = lock
        self._info = journal.info()
        self._stopped = False
        self._runner: StepRunner | None = None
        self._refused_by: KatapultError | None = None
        # Whether `preflight` was called on this object.
        self._has_preflight = False
        self._resumed = self._begun = bool(journal.sessions())

    def __repr__(self) -> str:
        return f"<Run {self._info.run_id} {self._info.kind} {self._journal.name}>"

    def __enter__(self) -> Run:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the journal and release the lock of the run."""
        self._journal.close()
        self._lock.release()

    # -- making and opening ------------------------------------------------------------------------

    @classmethod
    def create(
        cls,
        path: str | Path,
        manifest: Manifest,
        *,
        attach: bool = False,
        base_url: str | None = None,
        preflight: bool = False,
        thorough: bool = False,
        organization: str | None = None,
        confirmed: bool = True,
    ) -> Run:
        """Create a run of a manifest.

        The journal stores the options, so that another process can execute the run.
        `needs_preflight` and `needs_confirmation` show what must come before `execute`.

        Args:
            path: The file of the new journal.
            manifest: The manifest.
            attach: Whether to attach each disk after it is assigned. The `attach` column of a line
                overrides this.
            base_url: Base URL of the only installation that may execute the run. None for any.
            preflight: Whether the run needs a preflight first.
            thorough: Whether that preflight reads each disk.
            organization: The organization of the disks: `org_…` or its sub-domain.
            confirmed: Whether the user has agreed. If False, `confirm` must come before `execute`,
                except with `limit_lines`.

        Raises:
            ManifestError: The manifest has an error.
            JournalExists: The file exists already.
            JournalWriteError: The file cannot be written.
        """
        info, lines = from_manifest(
            manifest,
            attach=attach,
            base_url=base_url,
            preflight=preflight,
            thorough=thorough,
            organization=organization,
            confirmed_at=time.time() if confirmed else None,
        )
        path = Path(path)
        with contextlib.ExitStack() as stack:
            lock = stack.enter_context(RunLock(path))
            journal = Journal.create(path, info, lines)
            stack.pop_all()
        return cls(journal, lock)

    @classmethod
    def open(cls, path: str | Path, *, records_lost: bool = False) -> Run:
        """Open a run to resume it.

        Args:
            path: The file of its journal.
            records_lost: Whether to accept that the latest records of a killed run are lost
                (JournalRecordsLost). The run then reads every disk that is not done before it sends
                a request for it.

        Raises:
            JournalLocked: Another process executes the run.
            JournalMismatch: The run was rolled back, or its rollback is not finished.
            JournalDamaged: The journal is damaged, or its latest records are lost.
            JournalWriteError: The file cannot be written.
        """
        path = Path(path)
        if not path.exists():
            raise JournalError(f"{path} does not exist")  # before the lock creates a file
        with contextlib.ExitStack() as stack:
            lock = stack.enter_context(RunLock(path))
            journal = stack.enter_context(Journal.open(path, records_lost=records_lost))
            run = cls(journal, lock)
            if run.info.rolled_back_by is not None and (rollback := journal.summary().rollback):
                raise JournalMismatch(why_not_resumed(path, rollback))
            stack.pop_all()
        return run

    @classmethod
    def open_or_create(
        cls,
        manifest: str | Path | Manifest,
        *,
        run: str | Path | None = None,
        action: str | None = None,
        attach: bool = False,
        **asked: Unpack[Options],
    ) -> Run:
        """Open the unfinished run of a manifest, or create a new run.

        The journal is `MANIFEST.run`, in the folder of the manifest. If that run is finished, the
        next one is `MANIFEST.2.run`. A run that has sent nothing is replaced by a new one.
        `resumed` is True if the run had been executed before.

        Args:
            manifest: The file of the manifest, or an open manifest.
            run: The file of the journal. It must be new, or the unfinished run of this manifest.
            action: The name of the action for the items in the file, for example `resize`. None for
                assignments.
            attach: As in `create`. An unfinished run must have been created with the same value.
            **asked: The other options of `create`, for a new run.

        Raises:
            ManifestError: The manifest cannot be read, or has an error.
            JournalExists: `run` is a finished run.
            JournalMismatch: The journal is the unfinished run of another manifest, or the run of
                this manifest is being rolled back.
            JournalLocked: Another process executes the run.
            JournalDamaged: The journal is damaged, or its latest records are lost.
            JournalWriteError: The file cannot be written.
            ValueError: The action does not exist.
        """
        if not isinstance(manifest, Manifest):
            with Manifest.open(manifest, action=action) as opened:
                return cls.open_or_create(opened, run=run, attach=attach, **asked)
        location = location_for(manifest.name, manifest.check(), attach=attach, run=run)
        if location.begun:
            return cls.open(location.path)
        if location.unsent:
            cls.open(location.path).discard()
        return cls.create(location.path, manifest, attach=attach, **asked)

    @classmethod
    def roll_back(cls, of: str | Path, path: str | Path) -> Run:
        """Create a rollback: a run that reverts exactly the changes of another run.

        It detaches the disks that the other run attached, and unassigns the disks that the other
        run assigned. The other run cannot be resumed any more.

        The rollback reads each disk before it changes it. It leaves alone a boot disk, a disk that
        is on another machine now, and a disk that may have been on its machine before the run (see
        `rollback_scope`). A request without a response counts as executed until a read shows
        otherwise.

        Args:
            of: The journal of the run to roll back.
            path: The file of the rollback's journal.

        Raises:
            JournalMismatch: The run is a rollback itself, or has changed nothing.
            JournalLocked: Another process executes the run.
            JournalDamaged: Its journal is damaged, or its latest records are lost.
            JournalExists: The file exists already.
            JournalWriteError: A file cannot be written.
        """
        return cls(*make_rollback(Path(of), Path(path)))

    def retry_failed(self) -> int:
        """Let the next `execute` try the failed lines again. It reads the disk of each line first.

        Returns:
            The number of failed lines.

        Raises:
            JournalWriteError: The journal cannot be written.
        """
        return self._journal.reopen_failed()

    def discard(self) -> None:
        """Remove the journal of a run that was never executed. JournalMismatch for any other."""
        if self._journal.sessions():
            raise JournalMismatch(f"the run {self._journal.name} was executed, so its journal is kept")
        self._journal.close()
        if self._journal.path is not None:
            self._journal.path.unlink(missing_ok=True)
        self._lock.release()

    # -- reading -----------------------------------------------------------------------------------

    @property
    def info(self) -> RunInfo:
        """What the run is."""
        return self._info

    @property
    def journal(self) -> Journal:
        """The journal, for reading while the run is not being executed."""
        return self._journal

    @property
    def resumed(self) -> bool:
        """Whether the run had been executed before it was opened here."""
        return self._resumed

    @property
    def refused_by(self) -> KatapultError | None:
        """The error that ended the whole run: refused, or no answer. None without one."""
        return self._refused_by

    @property
    def patience_left(self) -> float | None:
        """Seconds until the run gives up on an API that does not respond. None if it responds."""
        return self._runner.patience_left if self._runner is not None else None

    @property
    def needs_preflight(self) -> bool:
        """Whether the run was created with `preflight=True` and still needs the preflight.

        A preflight counts for ten minutes. It does not count if its process ended before the user
        agreed to the changes.
        """
        info = self._info
        if not info.preflight or self._has_preflight or self._begun:
            return False
        if info.looked_at is None or info.confirmed_at is None:
            return True
        return not 0 <= time.time() - info.looked_at <= PREFLIGHT_HOLDS

    @property
    def needs_confirmation(self) -> bool:
        """Whether the user has not agreed to all changes. `execute` then needs `limit_lines`."""
        return self._info.confirmed_at is None

    def confirm(self) -> None:
        """Record durably that the user agreed to the changes.

        Raises:
            JournalWriteError: The journal cannot be written.
        """
        if self.needs_confirmation:
            self._journal.note_confirmed(time.time())
            self._info = self._journal.info()

    def summary(self) -> RunSummary:
        """Return the progress of the run."""
        return self._journal.summary()

    # -- executing ---------------------------------------------------------------------------------

    async def preflight(
        self, client: Client, organization: str | None = None, *, thorough: bool | None = None
    ) -> Preflight:
        """Compare the lines with the current state of the platform, and store what was found.

        Args:
            client: Sends the requests.
            organization: The organization of the disks. None for the one given to `create`.
            thorough: Whether to read each disk. None for the value given to `create`.

        Raises:
            ValueError: No organization is known, or the run executes another action than assign.
            NotFound: The organization does not exist.
            JournalMismatch: The client uses another installation.
        """
        if self._info.action is not None:
            raise ValueError(f"a run of {self._info.action} has no preflight")
        organization = organization if organization is not None else self._info.organization
        if organization is None:
            raise ValueError("the run was made without an organization: pass organization=")
        self._check_installation(client)
        async with recording(self._journal, client) as writer:
            with timing_preflight(writer):
                result = await make_preflight(
                    client,
                    writer,
                    organization,
                    thorough=self._info.thorough if thorough is None else thorough,
                )
        self._has_preflight = True
        self._info = self._journal.info()
        return result

    async def execute(
        self,
        client: Client,
        *,
        task_timeout: float = TASK_TIMEOUT,
        limit_lines: int | None = None,
        max_failures: int | None = None,
    ) -> RunSummary:
        """Execute or resume the run, and return its progress.

        Returns early after `stop`, or if the API refuses the whole run (`refused_by`). A line that
        fails raises no error. A line that the preflight found done or impossible is recorded
        without a request.

        Args:
            client: Sends the requests.
            task_timeout: Seconds that one task may take.
            limit_lines: The most lines to send. A later `execute` sends the others. None for all.
            max_failures: Stop when more lines than this have failed or are unknown in this session.

        Raises:
            JournalMismatch: The client uses another installation, or the run is not confirmed.
            JournalWriteError: The journal cannot be written. The run ends, and can be resumed.
        """
        self._check_installation(client)
        if self.needs_confirmation and limit_lines is None:
            raise JournalMismatch(
                f"the run {self._journal.name} was never confirmed, and nothing was sent. Resume it and answer the "
                "question, or call Run.confirm()"
            )
        self._begun = True
        self._refused_by = None
        async with recording(self._journal, client) as writer:
            runner = self._runner = StepRunner(
                client,
                writer,
                self._info,
                task_timeout=task_timeout,
                limit_lines=limit_lines,
                max_failures=max_failures,
            )
            if self._stopped:
                runner.stop()
            try:
                await runner.run()
            finally:
                self._runner = None
                self._refused_by = runner.refused_by
        return self.summary()

    def stop(self) -> None:
        """Send no new requests. `execute` records the outcomes of those in flight, and returns."""
        self._stopped = True
        if self._runner is not None:
            self._runner.stop()

    def _check_installation(self, client: Client) -> None:
        wanted, given = self._info.base_url, client.session.base_url
        if wanted is not None and not is_same_base_url(wanted, given):
            raise JournalMismatch(f"the run {self._journal.name} was made for {wanted}, not for {given}")
