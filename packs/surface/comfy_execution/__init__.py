"""Parts of ComfyUI's executor that nodes use: blockers, graphs, progress."""
