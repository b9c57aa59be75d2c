"""Ray Serve deployments: what binds them (app.py) and what calls them (clients.py)."""
