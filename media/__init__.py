"""Video and audio files: read within limits, written frame by frame (PyAV). No Ray, no torch."""
