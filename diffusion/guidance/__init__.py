"""Guiders, and what changes guidance or how a network is run."""
