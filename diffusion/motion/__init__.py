"""Motion modules (AnimateDiff), which let frames see each other in a U-Net."""
