"""Memory of a replica for weights: a budget, an LRU cache, and load admission."""
