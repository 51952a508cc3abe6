"""What one request costs in each layer of the SDK, in CPU time and in instructions."""
