"""API keys: access, scopes, rates, sessions, and their administration."""
