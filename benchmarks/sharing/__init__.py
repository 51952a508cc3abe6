"""How processes share the rate limit of one token: with the SDK's budget, and as users do today."""
