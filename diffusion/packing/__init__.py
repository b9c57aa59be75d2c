"""Packed matrices: kept as files pack them, and unpacked when they are used."""
