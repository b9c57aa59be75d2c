"""What packs import under ComfyUI's names: written from how it behaves, and run by the service.

A module here is found as the one of the same name without `packs.surface.`: `comfy.utils`, `nodes`,
`folder_paths`. What is not here is a placeholder (`placeholders.py`).
"""
