"""The steps of a run: assign and attach; detach and unassign for a rollback; or one action.

`transitions` decides the next step of a line, `runner` takes all lines through a step, `recorder`
writes what happens, `tasks` waits for tasks, and `rollback` says what is reverted.
"""
