"""Measure this package and its peers: `python -m benchmarks.NAME`, from a checkout's root.

    scheduling   time and 429s under a rate limit, against the optimum; checks the promises
    throughput   requests per second and CPU per request, with no limit in the way
    decode       one response, and a page of two hundred disks, from bytes to objects
    memory       peak memory of 10,000 to 1,000,000 assignments; how long the event loop is blocked
    startup      importing the package, and the first line of the command line's help
    report       puts the tables of all of them into the page (benchmarks/README.md)

The package installs nothing from this folder. A benchmark leaves out a peer that is not installed,
and its result says so.
"""
