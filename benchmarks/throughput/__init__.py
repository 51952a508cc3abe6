"""Requests per second and CPU per request where no limit is in the way: the cost of each client itself."""
