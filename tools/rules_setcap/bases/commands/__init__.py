"""The commands that fetch layers of a base from a registry.

fetch   fetches a layer by its digest
search  fetches layers from the highest one down, until files have been found
"""

NAMES = ("fetch", "search")
