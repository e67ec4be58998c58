"""Stand-ins for layer_from_tar of rules_img, which keeps the tar as it is, and for image_layer."""

def _layer_from_tar_impl(ctx):
    return [DefaultInfo(files = depset([ctx.file.src]))]

layer_from_tar = rule(
    implementation = _layer_from_tar_impl,
    attrs = {"src": attr.label(allow_single_file = True, mandatory = True)},
)

def file_metadata(pax_records):
    return json.encode({"pax_records": pax_records})

# Like rules_img, this writes values as UTF-8 text, and no end-of-archive marker.
_LAYER = """
import gzip, json, sys
target, *arguments = sys.argv[1:]
def header(name, size, mode, kind):
    data = bytearray(512)
    fields = {0: name, 100: b"%07o" % mode, 108: b"0000000", 116: b"0000000", 124: b"%011o" % size, 136: b"00000000000",
              148: b" " * 8, 156: kind, 257: b"ustar\\0" b"00"}
    for at, value in fields.items():
        data[at : at + len(value)] = value
    data[148:156] = b"%06o\\0 " % sum(data)
    return bytes(data)
def pad(data):
    return data + bytes(-len(data) % 512)
tar = b""
for path, source, metadata in zip(*[iter(arguments)] * 3):
    records = b""
    for key, value in json.loads(metadata or "{}").get("pax_records", {}).items():
        body = b" %s=%s\\n" % (key.encode(), value.encode())
        size = next(size for size in range(len(body), len(body) + 9) if len(str(size)) + len(body) == size)
        records += str(size).encode() + body
    if records:
        tar += header(b"PaxHeaders", len(records), 0o644, b"x") + pad(records)
    content = open(source, "rb").read()
    tar += header(path.lstrip("/").encode(), len(content), 0o755, b"0") + pad(content)
open(target, "wb").write(gzip.compress(tar, mtime = 0))
"""

def _image_layer_impl(ctx):
    layer = ctx.actions.declare_file(ctx.label.name + ".tgz")
    arguments = ["-c", _LAYER, layer.path]
    for path, target in ctx.attr.srcs.items():
        arguments.extend([path, target[DefaultInfo].files.to_list()[0].path, ctx.attr.file_metadata.get(path, "")])
    ctx.actions.run(executable = "/usr/bin/python3", arguments = arguments, inputs = ctx.files.srcs, outputs = [layer])
    return [DefaultInfo(files = depset([layer]))]

image_layer = rule(
    implementation = _image_layer_impl,
    attrs = {
        "file_metadata": attr.string_dict(),
        "srcs": attr.string_keyed_label_dict(allow_files = True),
    },
)
