"""Peak memory of bulk runs by their size, and how long they keep the event loop from anything else."""
