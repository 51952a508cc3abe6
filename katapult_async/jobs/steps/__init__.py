"""The steps of a run: assign and attach; detach and unassign for a rollback; or one action.

- `transitions` decides what follows the step of a line.
- `runner` executes the steps, one after the other, for all lines.
- `recorder` writes to the journal what is sent and what comes of it.
- `tasks` waits for tasks. `busy_machines` remembers which machines accept no further task.
- `rollback` creates the journal of a rollback.
"""
