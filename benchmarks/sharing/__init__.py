"""How processes share the rate limit of one token: with a budget of the SDK, and as users do it today."""
