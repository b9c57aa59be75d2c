"""Files and records: models, uploads, outputs, jobs, keys. No Ray, no torch."""
