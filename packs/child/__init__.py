"""A pack's process: it confines itself, loads the pack, describes and runs its nodes."""
