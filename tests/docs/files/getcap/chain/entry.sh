#!/bin/sh
if [ "$(id -u)" = 0 ]; then
  exec su-exec 1000 "$0" "$@"
fi
exec server
