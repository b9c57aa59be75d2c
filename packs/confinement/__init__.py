"""What a pack's process may not do, taken away from it by the kernel before the pack is loaded."""
