# Completion for bash of getcap, the program of rules_setcap: a shell function or a script with this name that runs
# `bazel run @rules_setcap//tools/getcap -- "$@"`. docs/getcap.md describes how to install this file.

_getcap_rules_setcap() {
  local current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD - 1]} command=list index
  COMPREPLY=()

  # With `=` in COMP_WORDBREAKS, bash splits --flag=value into three words.
  if [[ $previous == "=" ]]; then
    previous=${COMP_WORDS[COMP_CWORD - 2]}
  elif [[ $current == "=" ]]; then
    current=
  fi

  [[ $COMP_CWORD -gt 1 && ${COMP_WORDS[1]} == explain ]] && command=explain
  for ((index = 1; index < ${#COMP_WORDS[@]}; index++)); do
    [[ ${COMP_WORDS[index]} == -- && $index -lt $COMP_CWORD ]] && command=paths && break
    [[ $command == list && ${COMP_WORDS[index]} == --review && $index -ne $COMP_CWORD ]] && command=review
  done

  if [[ $command != paths ]]; then
    case $previous in
      --platform)
        _getcap_rules_setcap_words "linux/amd64 linux/arm64 linux/arm/v7" "$current"
        return
        ;;
      --runtime)
        _getcap_rules_setcap_words "containerd cri-o docker nerdctl podman" "$current"
        return
        ;;
      --container | --docker-run | --image | --program | --service)
        return
        ;;
    esac
  fi

  case $command:$current in
    list:-*)
      _getcap_rules_setcap_words "--all-layers --help --image --json --layer --platform --review --version -h -n -r" "$current"
      ;;
    review:-*)
      _getcap_rules_setcap_words \
        "--allow --help --image --json --platform --print-allow --runtime --sarif --version -h" "$current"
      ;;
    explain:-*)
      _getcap_rules_setcap_words \
        "--compose --container --docker-run --help --image --json --kubernetes --platform --program --runtime --service --version -h" \
        "$current"
      ;;
    *)
      # Paths; readline adds a slash to those of directories.
      [[ $COMP_CWORD -eq 1 ]] && _getcap_rules_setcap_words "explain" "$current"
      compopt -o filenames 2>/dev/null
      local path
      while IFS= read -r path; do
        COMPREPLY+=("$path")
      done < <(compgen -f -- "$current")
      ;;
  esac
}

# Adds those words of a list that begin with a text.
_getcap_rules_setcap_words() {
  local word
  for word in $1; do
    [[ $word == "$2"* ]] && COMPREPLY+=("$word")
  done
}

complete -F _getcap_rules_setcap getcap
