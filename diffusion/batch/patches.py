"""Kinds of patches of rows: how the network is run, where it differs from its weights'."""

SKIP_BLOCKS = "skip_blocks"  # options: the numbers of the blocks to leave out, by their kind
