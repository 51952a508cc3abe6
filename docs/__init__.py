"""The documentation: pages, the programs that generate parts of them, and Sphinx's settings."""
