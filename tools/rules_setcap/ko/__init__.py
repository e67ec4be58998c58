"""Reads the capabilities of a build from a `.ko.yaml`."""
