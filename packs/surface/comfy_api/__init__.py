"""comfy_api: node classes of the new kind, and the values that they share."""
