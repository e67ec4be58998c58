"""Capabilities from the configuration of ko, for those that build with Bazel what ko built."""
