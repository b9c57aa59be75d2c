"""LoRAs and merges: what files say of weights, and models under them."""
