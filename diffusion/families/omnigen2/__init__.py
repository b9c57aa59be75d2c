"""OmniGen2."""
