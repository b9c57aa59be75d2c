"""Comfy's API v2, as its SDKs speak it (docs.comfy.org, openapi-v2.yaml), on the same jobs."""
