"""The steps of a run: assign and attach, or detach and unassign for a rollback."""
