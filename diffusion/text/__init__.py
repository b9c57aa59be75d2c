"""Text encoders, and the stage that encodes prompts with them."""
