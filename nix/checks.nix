# Checks of arguments. An error names the function, the attribute and the value, and says what to write instead.
let
  inherit (builtins)
    all
    attrNames
    attrValues
    concatStringsSep
    elem
    hasContext
    isAttrs
    isBool
    isInt
    isList
    isPath
    isString
    match
    throw
    toJSON
    typeOf
    ;

  # Shows a value as the user wrote it, as far as Nix can tell.
  show =
    value:
    if isString value || isInt value || isBool value then
      toJSON (if isString value then builtins.unsafeDiscardStringContext value else value)
    else
      "a ${typeOf value}";

  fail =
    function: attribute: value: fault:
    throw "${function}: ${attribute}: ${show value}: ${fault}";

  # Returns the value if the condition holds.
  expect =
    condition: fault: function: attribute: value:
    if condition value then value else fail function attribute value fault;

  isText = value: isString value && value != "";
in
rec {
  inherit fail;

  bool = expect isBool "must be true or false";
  text = expect isText "must be a string that is not empty";
  string = expect isString "must be a string";
  integer = expect isInt "must be a number";
  paths = expect (value: isList value && all isText value) ''must be a list of paths, such as [ "/var/lib/app" ]'';

  # A name of a derivation.
  name = expect (
    value: isString value && match "[0-9a-zA-Z+_?=-][0-9a-zA-Z+._?=-]*" value != null
  ) "is not a valid name; write letters, digits and any of +-._?=";

  oneOf =
    values: function: attribute: value:
    expect (given: elem given values) "must be one of ${concatStringsSep ", " (map toJSON values)}" function attribute value;

  # A set of strings by path.
  texts =
    example:
    expect (
      value: isAttrs value && !(value ? outPath) && all isString (attrValues value)
    ) "must be a set of strings, such as ${example}";

  # A set of lists of strings by path.
  lists =
    example:
    expect (
      value: isAttrs value && all (item: isList item && all isString item) (attrValues value)
    ) "must be a set of lists of strings, such as ${example}";

  # Capabilities by path: text, or a list of names and clauses.
  capabilities =
    function: attribute: value:
    if !isAttrs value || value ? outPath then
      fail function attribute value ''must be a set of capabilities by path, such as { "/bin/coredns" = "cap_net_bind_service=ep"; }''
    else
      builtins.mapAttrs (
        path: item:
        if isString item then
          [ item ]
        else if isList item && item != [ ] && all isString item then
          item
        else
          fail function ''${attribute}: ${toJSON path}'' item
            ''must be the text of capabilities, such as "cap_net_bind_service=ep", or a list of names, such as [ "net_bind_service" ]''
      ) value;

  # Capabilities by path, as above; "" takes the capabilities of a file away.
  fileCapabilities =
    function: attribute: value:
    builtins.mapAttrs (_: words: if words == [ "" ] then [ ] else words) (capabilities function attribute value);

  # The name of an image's file: that of its derivation, or that of a path without the hash of the store.
  nameOf =
    value:
    let
      base = baseNameOf (builtins.unsafeDiscardStringContext "${value}");
      parts = match "[0-9a-z]{32}-(.*)" base;
    in
    if isAttrs value && value ? name then
      value.name
    else if parts == null then
      base
    else
      builtins.head parts;

  # A file or directory that derivations can read: a path, a derivation, or a string that refers to the store.
  source =
    function: attribute: value:
    if isPath value || (isString value && hasContext value) || (isAttrs value && value ? outPath) then
      "${value}"
    else
      fail function attribute value
        ''is not in the store; write a path without quotes, such as ./file, a derivation, or a string that refers to one, such as "''${package}/bin/server"'';

  sources =
    function: attribute: value:
    if !isAttrs value || value ? outPath then
      fail function attribute value ''must be a set of files by path, such as { "/bin/server" = "''${package}/bin/server"; }''
    else
      builtins.mapAttrs (path: source function ''${attribute}: ${toJSON path}'') value;
}
