"""Kinds of patches of rows: how the network is run, where it differs from its weights'."""

SCALE_ROPE = "scale_rope"  # options: scale_ and shift_ of x, y and t, where tokens lie
SKIP_BLOCKS = "skip_blocks"  # options: the numbers of the blocks to leave out, by their kind
