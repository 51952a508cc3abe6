"""How long work takes under a rate limit, and what it costs in 429s: this SDK beside what others do.

    optimum    what a client could do that knows everything
    policies   what each of them does, as it really does it
    scenarios  one run in virtual time: a policy, a limiter, a start
    sweep      many runs, as tables
    beside     this SDK and a user of another kind
    promises   the promises of the project, checked
    sockets    a few runs over real sockets
    plots      permitted and used, drawn

Servers and the clock that jumps are those of the tests (tests.model_server, tests.virtual_time).
"""
