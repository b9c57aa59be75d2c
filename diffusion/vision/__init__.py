"""Image encoders, what adapters make of pictures, and the stage that looks at them."""
