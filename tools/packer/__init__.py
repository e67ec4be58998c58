"""Layers and images, byte for byte the same wherever they are made."""
