"""The machines: Ray Serve deployments, what binds them and what calls them."""
