"""The numerics: model files to modules, prompts to conditioning, noise to pictures. No Ray."""
