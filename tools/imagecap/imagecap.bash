# Completion for bash of imagecap, the program of rules_setcap: a shell function or a script with this name that runs
# `bazel run @rules_setcap//tools/imagecap -- "$@"`. docs/imagecap.md describes how to install this file.

_imagecap_rules_setcap() {
  local current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD - 1]} command=${COMP_WORDS[1]:-} index
  COMPREPLY=()

  # With `=` in COMP_WORDBREAKS, bash splits --flag=value into three words.
  if [[ $previous == "=" ]]; then
    previous=${COMP_WORDS[COMP_CWORD - 2]}
  elif [[ $current == "=" ]]; then
    current=
  fi

  if [[ $COMP_CWORD -eq 1 ]]; then
    _imagecap_rules_setcap_words "diff explain get review set --help --version -h" "$current"
    return
  fi
  for ((index = 2; index < COMP_CWORD; index++)); do
    [[ ${COMP_WORDS[index]} == -- ]] && command=paths && break
  done

  if [[ $command != paths ]]; then
    case $previous in
      --platform)
        _imagecap_rules_setcap_words "linux/amd64 linux/arm64 linux/arm/v7" "$current"
        return
        ;;
      --runtime)
        _imagecap_rules_setcap_words "containerd cri-o docker nerdctl podman" "$current"
        return
        ;;
      --format)
        _imagecap_rules_setcap_words "docker-archive oci oci-archive" "$current"
        return
        ;;
      --compression)
        _imagecap_rules_setcap_words "gzip none zlib zstd" "$current"
        return
        ;;
      --ignore)
        _imagecap_rules_setcap_words "config manifest index layers compression order encoding mtime owner mode capabilities xattrs entries \
          type link device content" "$current"
        return
        ;;
      --container | --docker-run | --image | --program | --service)
        return
        ;;
    esac
  fi

  case $command:$current in
    get:-*)
      _imagecap_rules_setcap_words "--all-layers --help --image --json --layer --platform --version -h -n -r" "$current"
      ;;
    set:-*)
      _imagecap_rules_setcap_words \
        "--compression --force --format --help --image --json --layer --only --platform --rewrite --strip --version -h" "$current"
      ;;
    explain:-*)
      _imagecap_rules_setcap_words \
        "--compose --container --docker-run --help --image --json --kubernetes --platform --program --runtime --service --version -h" \
        "$current"
      ;;
    review:-*)
      _imagecap_rules_setcap_words \
        "--allow --help --image --json --platform --print-allow --runtime --sarif --version -h" "$current"
      ;;
    diff:-*)
      _imagecap_rules_setcap_words "--all --help --html --ignore --image --json --platform --sarif --version -h" "$current"
      ;;
    *)
      # Paths; readline adds a slash to those of directories.
      compopt -o filenames 2>/dev/null
      local path
      while IFS= read -r path; do
        COMPREPLY+=("$path")
      done < <(compgen -f -- "$current")
      ;;
  esac
}

# Adds those words of a list that begin with a text.
_imagecap_rules_setcap_words() {
  local word
  for word in $1; do
    [[ $word == "$2"* ]] && COMPREPLY+=("$word")
  done
}

complete -F _imagecap_rules_setcap imagecap
