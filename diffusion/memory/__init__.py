"""Memory of a replica for weights: a budget, a cache that evicts by cost, and load admission."""
