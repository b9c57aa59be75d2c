"""Guiders, and changes to guidance or to how a network is run."""
