"""Batches: the rows of many jobs in one model call, with their prompts, regions and controls."""
