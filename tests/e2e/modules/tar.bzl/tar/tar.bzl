"""A stand-in for tar of tar.bzl, which runs the bsdtar of PATH."""

def tar(name, srcs, mtree, **kwargs):
    native.genrule(
        name = name,
        srcs = srcs,
        outs = [name + ".tar"],
        cmd = "printf '%s\\n' '#mtree' {} | bsdtar --create --file $@ @-".format(" ".join(["'{}'".format(line) for line in mtree])),
        local = True,
        **kwargs
    )
