"""A stand-in for java_binary of rules_java: an archive of the sources in place of the jar. The machine has no Java compiler."""

def java_binary(name, srcs, main_class, **kwargs):  # buildifier: disable=unused-variable
    native.genrule(
        name = name,
        srcs = srcs,
        outs = [name + "_deploy.jar"],
        cmd = "/usr/bin/python3 -m zipfile -c $@ $(SRCS)",
        **kwargs
    )
