"""Comfy's API v2 (docs.comfy.org, openapi-v2.yaml), on the same jobs."""
