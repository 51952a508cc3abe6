"""The steps of a run: assign and attach; detach and unassign for a rollback; or one action."""
