"""Packed (quantized) matrices: kept as files pack them, and unpacked on use."""
