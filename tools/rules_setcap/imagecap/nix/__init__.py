"""What the functions withCapabilities and streamWithCapabilities for Nix run. nix/functions.nix calls it."""
