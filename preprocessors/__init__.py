"""ControlNet hint makers: pure functions, image [B, H, W, C] in, image out."""
