"""The hosted API's endpoints, each a translation into a workflow that the service executes.

A family of endpoints is one file with its request's fields and `translate`, and one workflow in
`workflows/`, which ComfyUI opens too. Field names, defaults and envelopes are those of the API.
"""
