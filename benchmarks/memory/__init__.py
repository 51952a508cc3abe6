"""Peak memory of bulk runs by size, and how long they block the event loop."""
