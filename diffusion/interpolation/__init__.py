"""Frame interpolation: networks that draw what lies between two frames of a video."""
