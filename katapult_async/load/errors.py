"""Errors of load tests that concern the test itself, not a request of it."""

from __future__ import annotations


class LoadError(Exception):
    """A load test cannot be run, or a result cannot be used. The message says why."""


class HostNotOwned(LoadError):
    """The host is not loopback, and the caller has not named it as a host of their own."""


class MissingExtra(LoadError):
    """The package hdrhistogram is not installed."""

    def __init__(self) -> None:
        super().__init__("load tests need one more package: pip install 'katapult-async[load]'")
