"""LoRAs and model merges: reading their files, and applying them to weights."""
