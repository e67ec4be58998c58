"""Pushing images to registries and loading them into container engines."""
