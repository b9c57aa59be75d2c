"""Models: listing, uploading and deleting an owner's model files."""
