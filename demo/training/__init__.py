"""The training of the demo model, one module for each stage."""
