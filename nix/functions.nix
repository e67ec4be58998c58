# Functions that put Linux file capabilities into layers and images, for any Nix.
#
# They need no nixpkgs: each derivation runs a Python interpreter on the sources of this repository, and no shell. No derivation
# sets an extended attribute, which the sandbox of Nix refuses; the attributes are written into tars.
{
  # The path of a Python interpreter, 3.11 or later. Layers that zstd compresses need 3.14.
  python,
  # The system that builds, for instance "x86_64-linux".
  system,
  # The path of libdeflate's shared library, which layers that gzip compresses need; null if there is none.
  gzipLibrary ? null,
}:
let
  inherit (builtins) attrNames concatLists toJSON;

  checks = import ./checks.nix;

  # The sources of a program: the rooms that it imports, so that a change of other rooms builds no image again.
  sourcesOf =
    rooms:
    builtins.path {
      name = "rules_setcap";
      path = ../tools;
      filter =
        path: type:
        let
          names = builtins.match ".*/tools/(launch\\.py|rules_setcap)(/([^/]*).*)?" path;
          room = builtins.elemAt names 2;
        in
        names != null
        && (room == null || room == "__init__.py" || builtins.elem room rooms)
        && (type == "directory" || builtins.match ".*\\.py" path != null);
    };

  packerSources = sourcesOf [
    "actions"
    "archive"
    "capabilities"
    "diagnostics"
    "executables"
    "oci"
    "packer"
  ];

  imageSources = sourcesOf [
    "archive"
    "capabilities"
    "diagnostics"
    "executables"
    "getcap"
    "imagecap"
    "oci"
    "packer"
  ];

  # A derivation that runs a program of this repository.
  runProgram =
    {
      name,
      outputs ? [ "out" ],
      sources,
      package,
      words ? [ ],
      attributes ? { },
    }:
    derivation (
      attributes
      // {
        inherit name outputs system;
        builder = python;
        args = [
          "-S"
          "-E"
          "-s"
          "-B"
          "-X"
          "utf8"
          "${sources}/launch.py"
          package
          ""
        ]
        ++ words;
        # Values of any length and with any character reach the program.
        __structuredAttrs = true;
      }
    );

  # What withCapabilities and streamWithCapabilities pass to the program.
  makeRequest =
    function: source: attributes:
    let
      check = checker: attribute: checker function attribute attributes.${attribute};
    in
    {
      inherit source;
      capabilities =
        if attributes.capabilities == { } && attributes.only != true then
          throw "${function}: capabilities: is empty; name a file, or write only = true to take the capabilities of all files away"
        else
          check checks.fileCapabilities "capabilities";
      rewrite = check checks.bool "rewrite";
      only = check checks.bool "only";
      platform = check checks.string "platform";
      compression = check (checks.oneOf [
        ""
        "gzip"
        "none"
        "zlib"
        "zstd"
      ]) "compression";
      library = if gzipLibrary == null then "" else gzipLibrary;
    };

  # The name and the tag of an image, which dockerTools gives to its images.
  copyNames =
    image:
    builtins.intersectAttrs {
      imageName = null;
      imageTag = null;
    } (if builtins.isAttrs image then image else { });

  # Adds attributes to a derivation as mkDerivation of nixpkgs does.
  addPassthru =
    drv: passthru:
    drv
    // passthru
    // {
      inherit passthru;
    };

  extensions = {
    gzip = ".tar.gz";
    none = ".tar";
    zstd = ".tar.zst";
  };

  levels = {
    gzip = 12;
    none = 0;
    zstd = 19;
  };

  # The flag that has a JSON object for each path of a set.
  forEachPath = flag: attribute: field: values: map (
    path: "${flag}${toJSON { inherit attribute path; ${field} = values.${path}; }}"
  ) (attrNames values);
in
{
  # Packs files into a layer of an image. The attributes are those of the Bazel rule `layer`, and equal files give equal bytes.
  #
  # Its output `out` is the layer, and its output `metadata` the digests of the layer and the capabilities of its files, as JSON.
  buildLayer =
    {
      name ? "layer",
      contents ? { },
      capabilities ? { },
      symlinks ? { },
      directories ? [ ],
      owner ? "0:0",
      owners ? { },
      mode ? "0755",
      modes ? { },
      xattrs ? { },
      mtime ? 0,
      parentDirectories ? "all",
      hardLinkDuplicates ? false,
      compression ? "gzip",
      compressionLevel ? 0,
    }:
    let
      check = checker: checker "buildLayer";
      compressionChecked = check (checks.oneOf (attrNames extensions)) "compression" compression;
      level = check checks.integer "compressionLevel" compressionLevel;
      maximum = levels.${compressionChecked};
      line = attribute: fields: toJSON ({ inherit attribute; } // fields);
      files = check checks.sources "contents" contents;
      links = check (checks.texts ''{ "/bin/sh" = "busybox"; }'') "symlinks" symlinks;
    in
    runProgram {
      name = "${check checks.name "name" name}${extensions.${compressionChecked}}";
      outputs = [
        "out"
        "metadata"
      ];
      sources = packerSources;
      package = "rules_setcap.packer";
      words = concatLists [
        [
          "layer"
          "--target=${name}"
          "--output=${placeholder "out"}"
          "--metadata=${placeholder "metadata"}"
          "--created-by=rules_setcap"
          "--owner=${toJSON (check checks.text "owner" owner)}"
          "--mode=${toJSON (check checks.text "mode" mode)}"
          "--mtime=${toJSON (if builtins.isInt mtime then mtime else check checks.text "mtime" mtime)}"
          "--parent-directories=${check (checks.oneOf [ "all" "none" ]) "parentDirectories" parentDirectories}"
          "--compression=${compressionChecked}"
          "--level=${
            if level >= 0 && level <= maximum then
              toString level
            else
              check checks.fail "compressionLevel" level "must be 0, the default, to ${toString maximum} for ${toJSON compressionChecked}"
          }"
        ]
        (if check checks.bool "hardLinkDuplicates" hardLinkDuplicates then [ "--hard-link-duplicates=yes" ] else [ ])
        (
          if compressionChecked != "gzip" then
            [ ]
          else if gzipLibrary == null then
            check checks.fail "compression" compression "needs libdeflate; pass gzipLibrary to nix/functions.nix, or write compression = \"none\""
          else
            [ "--library=${gzipLibrary}" ]
        )
        (forEachPath "--capabilities=" "capabilities" "capabilities" (check checks.capabilities "capabilities" capabilities))
        (forEachPath "--change=" "modes" "mode" (check (checks.texts ''{ "/var/lib/app" = "0700"; }'') "modes" modes))
        (forEachPath "--change=" "owners" "owner" (check (checks.texts ''{ "/var/lib/app" = "65532:65532"; }'') "owners" owners))
        (forEachPath "--change=" "xattrs" "xattrs" (check (checks.lists ''{ "/app" = [ "user.origin=build" ]; }'') "xattrs" xattrs))
        (map (path: line "contents" { inherit path; source = files.${path}; }) (attrNames files))
        (map (path: line "symlinks" { inherit path; type = "symlink"; target = links.${path}; }) (attrNames links))
        (map (path: line "directories" { inherit path; type = "directory"; }) (check checks.paths "directories" directories))
      ];
    };

  # Assigns capabilities to files of an image: an archive of buildImage, buildLayeredImage or pullImage of dockerTools, or any
  # other archive that `imagecap set` reads. The result is an archive of the same kind.
  withCapabilities =
    {
      image,
      capabilities ? { },
      rewrite ? false,
      only ? false,
      platform ? "",
      compression ? "",
      name ? checks.nameOf image,
    }:
    let
      source = checks.source "withCapabilities" "image" image;
    in
    addPassthru (runProgram {
      name = checks.name "withCapabilities" "name" name;
      sources = imageSources;
      package = "rules_setcap.imagecap.nix";
      attributes = {
        function = "withCapabilities";
        request = makeRequest "withCapabilities" source {
          inherit capabilities compression only platform rewrite;
        };
      };
    }) (copyNames image);

  # Assigns capabilities to files of the image that a script writes to stdout, as that of streamLayeredImage of dockerTools does.
  # The result is such a script too.
  streamWithCapabilities =
    {
      stream,
      capabilities ? { },
      rewrite ? false,
      only ? false,
      platform ? "",
      compression ? "",
      name ? checks.nameOf stream,
    }:
    let
      source = checks.source "streamWithCapabilities" "stream" stream;
    in
    addPassthru (runProgram {
      name = checks.name "streamWithCapabilities" "name" name;
      sources = imageSources;
      package = "rules_setcap.imagecap.nix";
      attributes = {
        function = "streamWithCapabilities";
        inherit python;
        launch = "${imageSources}/launch.py";
        request = makeRequest "streamWithCapabilities" source {
          inherit capabilities compression only platform rewrite;
        };
      };
    }) (copyNames stream);
}
