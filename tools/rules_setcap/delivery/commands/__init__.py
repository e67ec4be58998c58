"""The command that checks a destination.

destination  expands and checks the repository and tags of an image, or its name in a container engine
"""

NAMES = ("destination",)
