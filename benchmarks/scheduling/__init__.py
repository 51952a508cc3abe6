"""How long work takes under a rate limit, and its cost in 429s: this SDK next to its peers.

    optimum    what an omniscient client could do
    policies   what each client does, with its own code if it has any
    scenarios  one run in virtual time: a policy, a limiter, a start
    sweep      many runs, as tables
    beside     this SDK next to a user of another kind
    promises   the promises of the project, checked
    sockets    a few runs over real sockets
    plots      permitted and used requests, drawn

The servers and the clock that jumps come from the tests (tests.model_server, tests.virtual_time).
"""
