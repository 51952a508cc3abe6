"""Requests per second and CPU per request without a limit: the cost of each client itself."""
