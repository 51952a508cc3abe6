"""One rate limit shared by processes: the state machine of one process, in a store that all of them can reach.

`state` says what is shared and decides who gets the permits. `file` and `redis` keep it. `gate` is where the requests
of one process wait. Nothing else of a program is shared: no queue of jobs, no results.
"""
