"""Memory and time of a manifest of many lines: checked, made into a run, read through."""
