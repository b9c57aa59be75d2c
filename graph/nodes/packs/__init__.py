"""Node types of packs of custom nodes, under the packs' names: one file per pack."""
