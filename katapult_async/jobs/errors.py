"""What can go wrong with a journal.

Each message names the file, what is the matter, and what to do.
"""

from __future__ import annotations

from katapult_async.errors import Execution, KatapultError


class JournalError(KatapultError):
    """A journal cannot be used. Nothing was sent because of it, and nothing in it was changed."""

    execution = Execution.NOT_EXECUTED


class JournalExists(JournalError):
    """There is a file already where a new journal was to be made."""


class JournalLocked(JournalError):
    """Another process is executing this run."""


class JournalMismatch(JournalError):
    """It is the journal of another manifest, another kind of run, or another installation."""


class JournalDamaged(JournalError):
    """The file is not a journal, is damaged, or is one of a newer version. It is left as it is."""


class JournalRecordsLost(JournalDamaged):
    """The latest records of a killed run are gone, with the file that held them.

    What is left of it is sound.

    `Run.open(path, records_lost=True)` resumes with what is left, and reads every disk before
    anything is sent.
    """


class JournalWriteError(JournalError):
    """Nothing can be written to it: the disk is full, or writing is not permitted.

    What was recorded stays, and the run can be resumed.
    """
