"""Reads the settings of services in Compose files."""
