"""How sigma falls, and how it relates to time, noise and a network's output."""
