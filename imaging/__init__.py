"""Picture operations as pure torch functions, with ComfyUI's results.

Images are [B, H, W, C] and masks [B, H, W], float32 in 0..1. Nothing changes its arguments.
"""
