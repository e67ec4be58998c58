"""A model of how container engines unpack the layers of an image, each by its own rules."""
