# An overlay of nixpkgs with the functions in the attribute `imagecap`.
final: _previous: { imagecap = final.callPackage ./. { }; }
