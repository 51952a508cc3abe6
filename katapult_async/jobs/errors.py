"""The errors of journals.

Each message names the file, says what is wrong, and says what to do.
"""

from __future__ import annotations

from katapult_async.errors import Execution, KatapultError


class JournalError(KatapultError):
    """A journal cannot be used. Nothing was sent because of it, and nothing in it was changed."""

    execution = Execution.NOT_EXECUTED


class JournalExists(JournalError):
    """A new journal cannot be created, because the file exists."""


class JournalLocked(JournalError):
    """Another process is executing this run."""


class JournalMismatch(JournalError):
    """The journal belongs to another manifest, another kind of run, or another installation.

    Also raised for a run in a state that does not permit the call, such as a run that nobody has
    confirmed.
    """


class JournalDamaged(JournalError):
    """The file is not a journal, is damaged, or is from a newer version. It was not changed."""


class JournalRecordsLost(JournalDamaged):
    """The latest records of a killed run are lost, with the file that had them.

    The other records are correct. `Run.open(path, records_lost=True)` resumes from them, and reads
    every disk before it sends a request for it.
    """


class JournalWriteError(JournalError):
    """A journal cannot be written: the disk is full, or writing is not permitted.

    The earlier records are safe, and the run can be resumed.
    """
