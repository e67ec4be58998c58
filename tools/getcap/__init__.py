"""The file capabilities of container images, read without unpacking or running any."""
