"""The commands that build actions run.

destination  expands and checks the repository and tags of an image, or its name in a container engine
push         describes what the push of an image consists of
"""

NAMES = ("destination", "push")
