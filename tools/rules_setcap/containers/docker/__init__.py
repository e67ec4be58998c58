"""The command lines of docker run and podman run."""
