"""Bytes and job records: models folder, uploads, outputs, what URLs name. No ray, no torch."""
