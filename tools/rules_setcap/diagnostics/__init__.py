"""Reporting: input errors, quoting, suggestions, limits, strict JSON and whole files."""
