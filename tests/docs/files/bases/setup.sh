# The registry has an image.
bazel run //third_party/made:push
cat >> MODULE.bazel <<'END'
bases = use_extension("@rules_setcap//rules:extensions.bzl", "bases")
bases.pull(
    name = "debian",
    digest = "",
    image = "localhost:5000/debian",
    tag = "13",
)
use_repo(bases, "debian")
END
