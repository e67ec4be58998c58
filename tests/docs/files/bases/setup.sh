# The registry has an image.
bazel run //third_party/made:push
