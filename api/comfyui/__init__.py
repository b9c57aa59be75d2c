"""ComfyUI's own HTTP API, so that its editor and the clients written for it work here."""
