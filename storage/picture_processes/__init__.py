"""Decodes callers' pictures in separate, limited processes."""
