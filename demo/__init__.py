"""The demo model: draws its training pictures, trains it, judges it, and makes the gallery."""
