"""What `bazel run` of image_push and image_load does: it hands an image to a tool that is there already."""
