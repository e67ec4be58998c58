"""The commands that write layers.

copy    packs files of lower layers again, with other capabilities and attributes
layer   packs files into a layer
setcap  copies a tar into a layer, with other capabilities
"""

NAMES = ("copy", "layer", "setcap")
