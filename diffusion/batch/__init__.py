"""What a network is asked: rows of many jobs, their prompts, regions and controls."""
