"""Building blocks of networks, weight loading, and key names in files."""
