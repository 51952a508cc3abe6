"""A durable run: made from a manifest or to roll a run back; executed, interrupted, resumed.

Every line goes through the steps of its kind of run (`steps`), all lines through one step before
the next begins. The journal is right at each moment: whatever ends the process, opening the run
again and executing it resumes it.
"""

from __future__ import annotations

import contextlib
import time
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from katapult_async.client import Client
from katapult_async.errors import KatapultError
from katapult_async.resources.bulk_runs import TASK_TIMEOUT
from katapult_async.transport.address import is_same_base_url

from .errors import JournalError, JournalMismatch
from .journal import Journal
from .journal.lock import RunLock
from .journal.new_run import Options, from_manifest
from .journal.records import RunInfo, RunSummary
from .journal.session import PREFLIGHT_HOLDS, recording
from .location import location_for
from .manifest import Manifest
from .preflight.preflight import Preflight, make_preflight
from .steps.rollback import make_rollback
from .steps.runner import StepRunner

if TYPE_CHECKING:
    from typing_extensions import Unpack  # in typing from Python 3.11 on


class Run:
    """One run and its journal. While it is open, no other process can execute it.

        with Run.create("plan.csv.run", manifest, base_url=…) as run:
            async with Client.from_env() as client:
                await run.preflight(client, "acme")
                summary = await run.execute(client)

    Everything raises JournalError where the file cannot be used.
    """

    def __init__(self, journal: Journal, lock: RunLock) -> None:
        self._journal = journal
        self._lock = lock
        self._info = journal.info()
        self._stopped = False
        self._runner: StepRunner | None = None
        self._refused_by: KatapultError | None = None
        # Whether this object has made the preflight.
        self._has_preflight = False
        self._resumed = self._begun = bool(journal.sessions())

    def __repr__(self) -> str:
        return f"<Run {self._info.run_id} {self._info.kind} {self._journal.name}>"

    def __enter__(self) -> Run:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the journal and give the run free."""
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
        """Make a run of a manifest.

        The journal keeps what was asked for, so that another process can do it: `needs_preflight`
        and `needs_confirmation` say what has to come before `execute`.

        Args:
            path: The file of the new journal.
            manifest: The disks and the virtual machines that they are assigned to.
            attach: Attach each disk after assigning it, where its line does not say otherwise.
            base_url: The base URL of the installation; the run cannot be executed at any other.
            preflight: Whether the run is to compare the manifest with the platform first.
            thorough: Whether that preflight reads each disk.
            organization: The organization of the disks: `org_…` or its sub-domain.
            confirmed: Whether somebody has agreed to the changes. If not, `confirm` comes before
                `execute`.

        Raises:
            ManifestError: The manifest has a mistake.
            JournalExists: There is a file already.
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
            records_lost: Accept that the latest records of a killed run are gone for good
                (JournalRecordsLost). Every disk that is not done is then read before anything is
                sent for it.

        Raises:
            JournalLocked: Another process executes it.
            JournalMismatch: It has been rolled back.
            JournalDamaged: Its journal is not as it was written, or its latest records are gone.
            JournalWriteError: The file cannot be written to.
        """
        path = Path(path)
        if not path.exists():
            raise JournalError(f"{path} does not exist")  # before a lock file is made for it
        with contextlib.ExitStack() as stack:
            lock = stack.enter_context(RunLock(path))
            journal = stack.enter_context(Journal.open(path, records_lost=records_lost))
            run = cls(journal, lock)
            if run.info.rolled_back_by is not None:
                raise JournalMismatch(
                    f"the run {path} was rolled back by {run.info.rolled_back_by}. To repeat it, run its manifest again"
                )
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
        """Open the unfinished run of a manifest, or make a new one.

        The journal is beside the manifest, as `MANIFEST.run`. A finished run stays where it is, and
        the next one is `MANIFEST.2.run`. A journal from which nothing was sent is replaced.
        `resumed` says which of these it was.

        Args:
            manifest: The file of the manifest, or an open manifest.
            run: The file of the journal. It must be new, or the unfinished run of this manifest.
            action: The name of the action whose items the lines of the file are, for example
                `resize`. None for assignments.
            attach: As for `create`; an unfinished run must have been made with the same value.
            **asked: The other options of `create`, for a new run.

        Raises:
            ManifestError: The manifest cannot be read, or has a mistake.
            JournalExists: `run` is a finished run.
            JournalMismatch: The journal is the unfinished run of something else, or the run of this
                manifest is being rolled back.
            JournalLocked: Another process executes the run.
            JournalDamaged: The journal is not as it was written, or its latest records are gone.
            JournalWriteError: The file cannot be written.
            ValueError: There is no such action.
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
        """Make a run that reverts exactly what another one did.

        It detaches what the other run attached, and unassigns what the other run assigned.

        The other run cannot be resumed then. The rollback reads each disk right before it reverts
        it. It leaves alone a boot disk, a disk that is on another machine now, and a disk that may
        have been there before the run (see `rollback_scope`). A request that got no response counts
        as done, until reading the disk shows otherwise.

        Args:
            of: The journal of the run to roll back.
            path: The file of the rollback's journal.

        Raises:
            JournalMismatch: The run is a rollback itself, or has changed nothing.
            JournalLocked: Another process executes the run.
            JournalDamaged: Its journal is not as it was written, or its latest records are gone.
            JournalExists: There is a file already.
            JournalWriteError: A file cannot be written.
        """
        return cls(*make_rollback(Path(of), Path(path)))

    def retry_failed(self) -> int:
        """Let the next `execute` try the failed lines again, each after reading its disk.

        Returns:
            How many lines they are.

        Raises:
            JournalWriteError: The journal cannot be written.
        """
        return self._journal.reopen_failed()

    def discard(self) -> None:
        """Remove the journal of a run that has sent nothing.

        Raises JournalMismatch for any other.
        """
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
        """To read from while the run is not executed."""
        return self._journal

    @property
    def resumed(self) -> bool:
        """Whether the run had been executed before it was opened here."""
        return self._resumed

    @property
    def refused_by(self) -> KatapultError | None:
        """The error for which the run as a whole was refused: token, network, scope, no answer."""
        return self._refused_by

    @property
    def patience_left(self) -> float | None:
        """Seconds until the run gives up, while the API does not answer. None while it answers."""
        return self._runner.patience_left if self._runner is not None else None

    @property
    def needs_preflight(self) -> bool:
        """Whether a preflight was asked for and has to be made before the run begins.

        True until one was made. One that was made more than ten minutes ago, or by a process that
        ended before anybody agreed to the changes, does not count.
        """
        info = self._info
        if not info.preflight or self._has_preflight or self._begun:
            return False
        if info.looked_at is None or info.confirmed_at is None:
            return True
        return not 0 <= time.time() - info.looked_at <= PREFLIGHT_HOLDS

    @property
    def needs_confirmation(self) -> bool:
        """Whether nobody has agreed to the changes yet. `execute` refuses before `confirm`."""
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
        """Where the run stands."""
        return msgspec.structs.replace(self._journal.summary(), locked_by=None)

    # -- executing ---------------------------------------------------------------------------------

    async def preflight(
        self, client: Client, organization: str | None = None, *, thorough: bool | None = None
    ) -> Preflight:
        """Compare the manifest with what the platform has now, and keep the result with each line.

        Args:
            client: The client to read with.
            organization: The organization of the disks; by default the one the run was made for.
            thorough: Whether to read each disk; by default what the run was made with.

        Raises:
            ValueError: No organization is known, or the run is one of an action.
            NotFound: There is no such organization.
            JournalMismatch: The client is one of another installation.
        """
        if self._info.action is not None:
            raise ValueError(f"a run of {self._info.action} has no preflight")
        organization = organization if organization is not None else self._info.organization
        if organization is None:
            raise ValueError("the run was made without an organization: pass organization=")
        self._check_installation(client)
        async with recording(self._journal, client) as writer:
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
        """Execute the run, or resume it, and return where it stands then.

        Returns early after `stop`, or when the run is refused (`refused_by`). Nothing is raised for
        a line. Lines that the preflight found done or impossible are recorded without a request.

        Args:
            client: The client to send with.
            task_timeout: Seconds that one task may take.
            limit_lines: Send only so many lines. A later `execute` sends the others.
            max_failures: Stop when more lines than that have failed in this session.

        Raises:
            JournalMismatch: The client is one of another installation, or the run is not confirmed.
            JournalWriteError: Nothing can be recorded any more. The run ends at once, and can be
                resumed.
        """
        self._check_installation(client)
        if self.needs_confirmation:
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
        """Send nothing new. `execute` records what is in flight, and returns."""
        self._stopped = True
        if self._runner is not None:
            self._runner.stop()

    def _check_installation(self, client: Client) -> None:
        wanted, given = self._info.base_url, client.session.base_url
        if wanted is not None and not is_same_base_url(wanted, given):
            raise JournalMismatch(f"the run {self._journal.name} was made for {wanted}, not for {given}")
