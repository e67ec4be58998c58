"""Packing layers: entries, the capabilities that are assigned to them, and the blob."""
