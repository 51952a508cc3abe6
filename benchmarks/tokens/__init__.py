"""Many tokens in one pool of one process, each with its own rate limit."""
