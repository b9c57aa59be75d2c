"""The HTTP API: routes, wire schemas and job handling. No Ray, no torch."""
