#!/bin/sh
echo "source $*" >&2
