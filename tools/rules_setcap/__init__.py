"""Linux file capabilities of container images: the programs that the Bazel rules run."""
