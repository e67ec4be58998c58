"""What every tool reports with and checks with: input errors, quoting, suggestions, limits, strict JSON, files, progress."""
