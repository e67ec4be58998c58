"""Input errors, quoting, suggestions, limits, strict JSON, files and progress, for all tools."""
