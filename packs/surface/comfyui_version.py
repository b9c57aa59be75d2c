"""comfyui_version: the version of ComfyUI that this surface is like."""

__version__ = "0.3.64"
