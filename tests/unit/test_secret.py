"""A `Secret` gives its text to `reveal()` and to nothing else."""

from __future__ import annotations

import copy
import json
import logging
import pickle
import pprint
import traceback
from collections.abc import Callable
from functools import partial
from typing import Any

import msgspec
import pytest
from rich.console import Console
from rich.traceback import Traceback

from katapult_async import Client
from katapult_async.models import Attachment, DiskInstallationAttribute, Secret, VirtualMachine
from katapult_async.transport.address import hide_token

TEXT = "hunter2-and-more"


def secret() -> Secret:
    return msgspec.json.decode(f'"{TEXT}"', type=Secret)


def structs() -> list[msgspec.Struct]:
    return [
        msgspec.json.decode(f'{{"token":"{TEXT}"}}', type=Attachment),
        msgspec.json.decode(f'{{"value":"{TEXT}"}}', type=DiskInstallationAttribute),
        msgspec.json.decode(f'{{"id":"vm_1","initial_root_password":"{TEXT}"}}', type=VirtualMachine),
    ]


WAYS_OUT: dict[str, Callable[[object], object]] = {
    "repr": repr,
    "str": str,
    "f-string": lambda it: f"{it} {it!s} {it!r} {it!a}",
    "format": "{}".format,
    "percent": lambda it: "%s %r" % (it, it),  # noqa: UP031
    "pprint": pprint.pformat,
    "json of msgspec": msgspec.json.encode,
    "msgpack of msgspec": msgspec.msgpack.encode,
    "builtins": msgspec.to_builtins,
    "json": lambda it: json.dumps(msgspec.to_builtins(it)),
    "json by str": lambda it: json.dumps(it, default=str),
    "json by repr": lambda it: json.dumps({"it": it}, default=repr),
    "copy": lambda it: repr(copy.copy(it)),
    "deepcopy": lambda it: repr(copy.deepcopy(it)),
    "__dict__": lambda it: repr(getattr(it, "__dict__", None)),
    **{f"pickle {n}": partial(pickle.dumps, protocol=n) for n in range(pickle.HIGHEST_PROTOCOL + 1)},
}


@pytest.mark.parametrize("way", WAYS_OUT)
@pytest.mark.parametrize("holder", [secret(), *structs()], ids=lambda it: type(it).__name__)
def test_no_way_out_shows_the_text(way: str, holder: object) -> None:
    shown = WAYS_OUT[way](holder)
    assert TEXT not in repr(shown)
    assert TEXT.encode() not in (shown if isinstance(shown, bytes) else b"")


@pytest.mark.parametrize("holder", structs(), ids=lambda it: type(it).__name__)
def test_asdict_and_replace_keep_the_secret(holder: msgspec.Struct) -> None:
    assert TEXT not in repr(msgspec.structs.asdict(holder))
    assert TEXT not in repr(msgspec.structs.astuple(holder))
    assert msgspec.structs.replace(holder) == holder


def test_it_shows_as_three_stars() -> None:
    it = secret()
    assert f"{it} {it!r} {it:>5} {it.value} {it.name}" == "*** ***   *** *** ***"
    assert msgspec.json.encode(it) == b'"***"'
    assert msgspec.to_builtins(it) == "***"


def test_reveal_gives_the_text() -> None:
    assert secret().reveal() == Secret(TEXT).reveal() == TEXT
    assert copy.deepcopy(secret()).reveal() == TEXT
    assert Secret("").reveal() == ""


def test_only_a_text_can_be_a_secret() -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(b"7", type=Secret)
    with pytest.raises(ValueError, match="7"):
        Secret(7)


@pytest.mark.parametrize(
    "kept",
    [pickle.loads(pickle.dumps(secret())), msgspec.json.decode(msgspec.json.encode(secret()), type=Secret)],
    ids=["pickle", "json"],
)
def test_what_was_pickled_or_encoded_has_lost_its_text(kept: Secret) -> None:
    assert kept is Secret.MASKED
    assert kept != secret()
    assert kept == Secret.MASKED
    assert len({kept, secret()}) == 2
    with pytest.raises(ValueError, match="is lost"):
        kept.reveal()


def test_equal_texts_are_equal_secrets() -> None:
    assert secret() == Secret(TEXT)
    assert hash(secret()) == hash(Secret(TEXT))
    assert hash(secret()) != hash(TEXT)
    assert secret() != Secret("another")
    assert Secret("\ud800ü") == Secret("\ud800ü")
    assert secret() != TEXT


def test_logs_do_not_show_it(caplog: pytest.LogCaptureFixture) -> None:
    for holder in (secret(), *structs()):
        logging.getLogger("test").warning("%s and %r", holder, holder, extra={"holder": holder})
    assert "***" in caplog.text
    assert TEXT not in caplog.text + repr([vars(record) for record in caplog.records])


def test_tracebacks_with_locals_do_not_show_it() -> None:
    it, holders = secret(), structs()
    with pytest.raises(ValueError, match="on purpose") as caught:
        fail(it, holders)
    assert_no_traceback_shows(caught.value, TEXT)


def fail(it: Secret, holders: list[msgspec.Struct]) -> None:
    revealed_length = len(it.reveal())
    raise ValueError(f"on purpose: {revealed_length} {it} {holders}")


def assert_no_traceback_shows(error: BaseException, text: str) -> None:
    plain = "".join(traceback.TracebackException.from_exception(error, capture_locals=True).format())
    console = Console(width=500, record=True, quiet=True)
    console.print(
        Traceback.from_exception(
            type(error), error, error.__traceback__, show_locals=True, locals_max_string=10_000
        )
    )
    assert text not in plain + console.export_text()


BAD_TOKEN = TEXT + "\n"


@pytest.mark.parametrize("settings", [{}, {"base_url": "nonsense"}, {"concurrency": 0}])
def test_no_traceback_of_a_client_shows_its_token(settings: dict[str, Any]) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - other tests are about the message
        Client(TEXT if settings else BAD_TOKEN, **settings)
    assert_no_traceback_shows(caught.value, TEXT)


def test_a_client_takes_a_secret_for_its_token() -> None:
    client = Client(Secret("the-token"))
    assert "the-token" not in repr(client) + repr(vars(client))
    with pytest.raises(ValueError, match="is lost"):
        Client(Secret.MASKED)
    token, problem = hide_token("the-token")
    assert (token, problem) == (Secret("the-token"), None)
