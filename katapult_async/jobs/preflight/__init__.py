"""What a run would find and cost, before it sends anything that changes something."""
