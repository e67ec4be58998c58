"""Running as a Bazel action: the command line, and the persistent worker."""
