"""Checks and resolves the attributes of an image: user, ports, signals, environment, labels, annotations, time of creation."""
