{
  description = "Linux file capabilities on the binaries of container images";

  # There are no inputs: the functions take the packages of the flake that uses them.
  outputs = _: {
    lib = {
      # forPackages pkgs: the functions, with the interpreter and the libraries of nixpkgs.
      forPackages = pkgs: pkgs.callPackage ./nix { };

      # withInterpreter { python, system, gzipLibrary }: the functions, without nixpkgs.
      withInterpreter = import ./nix/functions.nix;
    };

    overlays.default = import ./nix/overlay.nix;
  };
}
