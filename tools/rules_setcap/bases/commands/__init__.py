"""The command that fetches a layer of a base from a registry.

fetch  fetches a layer by its digest
"""

NAMES = ("fetch",)
