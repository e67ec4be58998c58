# Completion for bash of image_diff, the program of rules_setcap: a shell function or a script with this name that runs
# `bazel run @rules_setcap//tools/image_diff -- "$@"`. docs/image-diff.md describes how to install this file.

_image_diff_rules_setcap() {
  local current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD - 1]} index
  COMPREPLY=()

  # With `=` in COMP_WORDBREAKS, bash splits --flag=value into three words.
  if [[ $previous == "=" ]]; then
    previous=${COMP_WORDS[COMP_CWORD - 2]}
  elif [[ $current == "=" ]]; then
    current=
  fi

  for ((index = 1; index < COMP_CWORD; index++)); do
    [[ ${COMP_WORDS[index]} == -- ]] && previous=-- && break
  done

  case $previous:$current in
    --platform:*)
      _image_diff_rules_setcap_words "linux/amd64 linux/arm64 linux/arm/v7" "$current"
      ;;
    --image:*) ;;
    --ignore:*)
      _image_diff_rules_setcap_words \
        "capabilities compression config content device encoding entries index layers link manifest mode mtime order owner type xattrs" \
        "$current"
      ;;
    --:*)
      _image_diff_rules_setcap_paths "$current"
      ;;
    *:-*)
      _image_diff_rules_setcap_words "--all --help --html --ignore --image --json --platform --sarif --version -h" "$current"
      ;;
    *)
      _image_diff_rules_setcap_paths "$current"
      ;;
  esac
}

# Adds the paths that begin with a text; readline adds a slash to those of directories.
_image_diff_rules_setcap_paths() {
  compopt -o filenames 2>/dev/null
  local path
  while IFS= read -r path; do
    COMPREPLY+=("$path")
  done < <(compgen -f -- "$1")
}

# Adds those words of a list that begin with a text.
_image_diff_rules_setcap_words() {
  local word
  for word in $1; do
    [[ $word == "$2"* ]] && COMPREPLY+=("$word")
  done
}

complete -F _image_diff_rules_setcap image_diff
