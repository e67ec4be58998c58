"""The subcommands that write layers.

    copy    packs files of lower layers again, with other capabilities
    layer   packs files into a blob and describes it
    setcap  copies a tar into a blob and assigns capabilities to its entries
"""

NAMES = ("copy", "layer", "setcap")
