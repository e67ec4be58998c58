"""Stand-ins for rules of rules_oci and rules_img that append tars to an image."""

def append_tars(ctx, base, tars):
    """Declares the action that writes an OCI layout.

    Args:
      ctx: the context of a rule with the attributes entrypoint and user.
      base: list of File, the OCI layout of the base; empty without one.
      tars: list of File, the layers above the base.

    Returns:
      File: the layout.
    """
    layout = ctx.actions.declare_directory(ctx.label.name)
    args = ctx.actions.args()
    args.add_all([layout], expand_directories = False)
    args.add(json.encode({"Entrypoint": ctx.attr.entrypoint, "User": ctx.attr.user}))
    args.add(len(base))
    args.add_all(base, expand_directories = False)
    args.add_all(tars)
    ctx.actions.run(
        executable = "/usr/bin/python3",
        arguments = ["-c", _APPEND, args],
        inputs = base + tars,
        outputs = [layout],
    )
    return layout

_APPEND = """
import gzip, hashlib, json, pathlib, shutil, sys
layout, changes, count, *rest = sys.argv[1:]
layout, bases, tars = pathlib.Path(layout), rest[:int(count)], rest[int(count):]
(layout / "blobs/sha256").mkdir(parents = True)
(layout / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
def write(data, kind):
    digest = hashlib.sha256(data).hexdigest()
    path = layout / "blobs/sha256" / digest
    path.write_bytes(data)
    return {"mediaType": "application/vnd.oci.image." + kind, "digest": "sha256:" + digest, "size": len(data)}
manifest = {"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json", "layers": []}
config = {"architecture": "amd64", "os": "linux", "config": {}, "rootfs": {"type": "layers", "diff_ids": []}}
for base in bases:
    shutil.copytree(pathlib.Path(base) / "blobs", layout / "blobs", dirs_exist_ok = True)
    def read(descriptor):
        return json.loads((layout / "blobs" / descriptor["digest"].replace(":", "/")).read_bytes())
    manifest = read(json.loads((pathlib.Path(base) / "index.json").read_bytes())["manifests"][0])
    config = read(manifest["config"])
config["config"].update(json.loads(changes))
config.pop("history", None)
for tar in tars:
    data = pathlib.Path(tar).read_bytes()
    manifest["layers"].append(write(data, "layer.v1.tar+gzip"))
    config["rootfs"]["diff_ids"].append("sha256:" + hashlib.sha256(gzip.decompress(data)).hexdigest())
manifest["config"] = write(json.dumps(config).encode(), "config.v1+json")
index = {"schemaVersion": 2, "manifests": [write(json.dumps(manifest).encode(), "manifest.v1+json")]}
(layout / "index.json").write_text(json.dumps(index))
"""

def _oci_image_impl(ctx):
    return [DefaultInfo(files = depset([append_tars(ctx, ctx.files.base, ctx.files.tars)]))]

oci_image = rule(
    implementation = _oci_image_impl,
    attrs = {
        "base": attr.label(allow_files = True, mandatory = True),
        "entrypoint": attr.string_list(),
        "tars": attr.label_list(allow_files = True),
        "user": attr.string(),
    },
)
