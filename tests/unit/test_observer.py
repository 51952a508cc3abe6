"""An `Observer` overrides what it wants, and cannot change what happens."""

from __future__ import annotations

import logging

import pytest

from katapult_async import (
    Client,
    Observer,
    OutcomeEvent,
    RequestEvent,
    RetryEvent,
    StepEvent,
    WaitEvent,
)
from katapult_async.observer import Observers, check_observer

REQUEST = RequestEvent(operation="GET /disks/disk", sent_at=0.0, ended_at=1.0)
OUTCOME = OutcomeEvent(
    action="assign", disk="disk_1", virtual_machine=None, status="assigned", ok=True, finished_at=1.0
)


class OnlyRequests(Observer):
    def __init__(self) -> None:
        self.seen: list[RequestEvent] = []

    def on_request(self, event: RequestEvent) -> None:
        self.seen.append(event)


class Broken(Observer):
    def on_request(self, event: RequestEvent) -> None:
        raise RuntimeError(f"no {event.operation}")


def report_everything(observer: Observer) -> None:
    observer.on_request(REQUEST)
    observer.on_wait(WaitEvent(since=0.0, until=None, reason="limit"))
    observer.on_retry(RetryEvent(operation="x", attempt=1, delay=0.0, reason="y"))
    observer.on_outcome(OUTCOME)
    observer.on_step(StepEvent(step="assign", lines=1))


def test_an_observer_overrides_one_method_and_the_others_do_nothing() -> None:
    observer = OnlyRequests()
    assert isinstance(observer, Observer)
    report_everything(observer)
    report_everything(Observer())
    assert observer.seen == [REQUEST]
    Client("token", observer=observer)


def test_an_object_that_is_not_an_observer_is_refused() -> None:
    class Duck:
        on_request = on_wait = on_retry = on_outcome = on_step = print

    with pytest.raises(TypeError, match=r"observer must be an Observer, not .*: subclass Observer"):
        check_observer(Duck())


def test_an_observer_that_raises_ends_nothing_and_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    last = OnlyRequests()
    observers = Observers(Broken(), last)
    with caplog.at_level(logging.ERROR):
        for _ in range(3):
            report_everything(observers)
    assert len(last.seen) == 3
    assert len(caplog.records) == 1
    assert "it stays subscribed" in caplog.text


def test_events_are_made_only_for_observers_that_override_their_method() -> None:
    class Replaced(Observer):
        def __init__(self) -> None:
            self.seen: list[OutcomeEvent] = []
            self.on_outcome = self.seen.append  # type: ignore[assignment]

    observers = Observers()
    assert (observers.hears_requests, observers.hears_outcomes) == (False, False)
    observers.add(Observer())
    assert (observers.hears_requests, observers.hears_outcomes) == (False, False)
    only, replaced = OnlyRequests(), Replaced()
    observers.add(only)
    assert (observers.hears_requests, observers.hears_outcomes) == (True, False)
    observers.add(replaced)
    assert observers.hears_outcomes
    observers.on_outcome(OUTCOME)
    assert replaced.seen == [OUTCOME]
    observers.remove(only)
    assert (observers.hears_requests, observers.hears_outcomes) == (False, True)
    # Observers of observers are asked for everything.
    assert Observers(observers).hears_requests
