"""Releases: pushing many images, with only what the registries lack, and all tags at the end."""
