"""Measurements of this package beside what others do: `python -m benchmarks.NAME`, from the root of a checkout.

    scheduling   time to finish and 429s under a rate limit, against the optimum; checks the promises
    throughput   requests per second and CPU per request, with no limit in the way
    decode       one answer, and a page of two hundred disks, from bytes to objects
    memory       peak memory of ten thousand to a million assignments, and how long the event loop is blocked
    startup      importing the package, and the first line of the command line's help
    report       puts the tables of all of them into the page (benchmarks/README.md)

Nothing here is installed with the package. Peers that are not installed are left out, and that is said.
"""
