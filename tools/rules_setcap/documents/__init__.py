"""Reading documents that people write and that may be hostile."""
