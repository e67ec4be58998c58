"""Reads command lines that make a container: those of docker, podman and nerdctl."""
