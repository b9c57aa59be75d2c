"""Processes that read, check and plan requests too large for a router."""
