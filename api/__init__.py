"""The HTTP side: routes, wire schemas and the jobs behind them. No ray, no torch."""
