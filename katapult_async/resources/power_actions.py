"""The power actions start, stop, shutdown and reset, and their item. `bulk` carries them out.

The typed methods are in `virtual_machines`.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from katapult_async.bulk import Action, Contradiction, ReadBack, Words, check_machine, read_with, send_with
from katapult_async.errors import TaskQueueingError
from katapult_async.models import Task, VirtualMachine, VirtualMachineState, lookups, requests
from katapult_async.models.responses import TaskResponse, VirtualMachineResponse
from katapult_async.transport import MachineNames, Operation

from .read_again import read_again

GET = Operation("GET", "/virtual_machines/virtual_machine", VirtualMachineResponse)
START = Operation("POST", "/virtual_machines/virtual_machine/start", TaskResponse)
STOP = Operation("POST", "/virtual_machines/virtual_machine/stop", TaskResponse)
SHUTDOWN = Operation("POST", "/virtual_machines/virtual_machine/shutdown", TaskResponse)
RESET = Operation("POST", "/virtual_machines/virtual_machine/reset", TaskResponse)


class Machine(msgspec.Struct, frozen=True):
    """One virtual machine.

    Args:
        virtual_machine: ID (`vm_…`) or fully qualified domain name.

    Raises:
        ValueError: If this is not a valid name of a virtual machine.
    """

    virtual_machine: str

    def __post_init__(self) -> None:
        check_machine(self.virtual_machine)

    def __str__(self) -> str:
        return self.virtual_machine


def _body(item: Machine) -> requests.NameVirtualMachine:
    return requests.NameVirtualMachine(lookups.virtual_machine(item.virtual_machine))


def _query(item: Machine) -> list[tuple[str, str]]:
    return [lookups.virtual_machine(item.virtual_machine).query("virtual_machine")]


def _not_shown(_response: TaskResponse, _item: Machine) -> None:
    """Return no result, because the response has only the task."""


def _task(response: TaskResponse) -> Task:
    return response.task


def _shown(response: VirtualMachineResponse, item: Machine) -> VirtualMachine:
    machine = response.virtual_machine
    if not lookups.is_fqdn(item.virtual_machine) and machine.id != item.virtual_machine:
        raise Contradiction(f"the answer is about another virtual machine ({machine.id})")
    return machine


def _found(*wanted: VirtualMachineState) -> Callable[[VirtualMachine, Machine], ReadBack]:
    # A machine in another state proves nothing: the task may not have started.
    return lambda machine, _item: ReadBack.DONE if machine.state in wanted else ReadBack.UNCLEAR


def learn_machine(machine: VirtualMachine, names: MachineNames) -> None:
    """Learn the name of a machine."""
    if isinstance(machine.fqdn, str) and machine.fqdn:
        names.learn(machine.fqdn, machine.id)


def _power(
    operation: Operation[TaskResponse], name: str, words: Words, *wanted: VirtualMachineState
) -> Action[Machine, VirtualMachine]:
    """Return a power action.

    Args:
        operation: The endpoint.
        name: The action in one word.
        words: The action's words.
        *wanted: The states of a machine during and after the task. Empty if no state shows that the
            action was done.
    """
    read_once = read_with(GET, query=_query, result=_shown, found=_found(*wanted))
    return Action(
        name=name,
        item=Machine,
        send=send_with(operation, body=_body, result=_not_shown, task=_task),
        read=read_again(read_once) if wanted else None,
        words=words,
        may_be_done=(TaskQueueingError,) if wanted else (),
        example='["vm_…"]',
        probe=GET,
        # The API's response for a machine that is already in the wanted state is not known.
        success_proves_change=not wanted,
        learn=learn_machine,
    )


_State = VirtualMachineState
STARTING = _power(START, "start", Words("started", "already_started"), _State.STARTED, _State.STARTING)
STOPPING = _power(STOP, "stop", Words("stopped", "already_stopped"), _State.STOPPED, _State.STOPPING)
SHUTTING_DOWN = _power(
    SHUTDOWN,
    "shutdown",
    Words("shut_down", "already_shut_down"),
    _State.STOPPED,
    _State.SHUTTING_DOWN,
)
RESETTING = _power(RESET, "reset", Words("reset", "already_reset"))
#: The actions that a durable run finds by name.
DURABLE_ACTIONS = (STARTING, STOPPING, SHUTTING_DOWN, RESETTING)
