"""The memory of a replica for weights: a budget, a cache within it, and who may load next."""
