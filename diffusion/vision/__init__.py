"""Image encoders, their use by adapters, and the stage functions for them."""
