"""From bytes to objects: one answer to an assignment, and a page of two hundred disks."""
