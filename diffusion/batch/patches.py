"""Kinds of per-row patches: changes to how the network runs."""

SCALE_ROPE = "scale_rope"  # options: scale_ and shift_ of x, y and t, where tokens lie
KV_CACHE = "flux_kv_cache"  # references are computed in the first step alone
SKIP_BLOCKS = "skip_blocks"  # options: the numbers of the blocks to leave out, by their kind
