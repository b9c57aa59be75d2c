"""The HTTP methods that a path allows."""

from fastapi import Request
from fastapi.routing import iter_route_contexts

UNSERVED = "unserved"  # tag of routes that only say that nothing is there


def methods_at(request: Request) -> set[str]:
    """The methods of all routes at the request's path; none where nothing is served.

    A route of exactly that path counts before those in which a part of it could be an id.
    """
    path = request.scope["path"].removeprefix(request.scope.get("root_path", ""))
    here = [
        route
        for route in iter_route_contexts(request.app.routes)
        if UNSERVED not in getattr(route, "tags", ()) and route.path_regex.match(path)
    ]
    exact = [route for route in here if route.path == path]
    return {method for route in exact or here for method in route.methods or ()}
