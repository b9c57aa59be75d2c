"""The hosted API: each endpoint translates its request into a workflow and runs it.

A family of endpoints is one file with its request's fields and `translate`, and one workflow in
`workflows/`, which ComfyUI opens too. Field names, defaults and envelopes are those of the API.
"""
