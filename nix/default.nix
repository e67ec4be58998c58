# The functions, with the packages of nixpkgs: pkgs.callPackage ./nix { }
{
  buildPackages,
  stdenvNoCC,
  python ? buildPackages.python3,
  libdeflate ? buildPackages.libdeflate,
}:
import ./functions.nix {
  python = "${python}/bin/python3";
  gzipLibrary = "${libdeflate}/lib/libdeflate${stdenvNoCC.buildPlatform.extensions.sharedLibrary}";
  system = stdenvNoCC.buildPlatform.system;
}
