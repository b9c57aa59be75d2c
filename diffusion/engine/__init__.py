"""The step engine, which many requests share, and the stage that samples and decodes."""
