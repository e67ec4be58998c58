"""Images in registries that are bases: fetching their layers, and moving their digests."""
