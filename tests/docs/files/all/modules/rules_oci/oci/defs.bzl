"""A stand-in for oci_image of rules_oci, which appends the tars to the layers of the base."""

def _oci_image_impl(ctx):
    layout = ctx.actions.declare_directory(ctx.label.name)
    args = ctx.actions.args()
    args.add_all([layout], expand_directories = False)
    args.add_all(ctx.files.base, expand_directories = False)
    args.add(json.encode({"Entrypoint": ctx.attr.entrypoint}))
    args.add_all(ctx.files.tars)
    ctx.actions.run(
        executable = "/usr/bin/python3",
        arguments = ["-c", _APPEND, args],
        inputs = ctx.files.base + ctx.files.tars,
        outputs = [layout],
    )
    return [DefaultInfo(files = depset([layout]))]

_APPEND = """
import gzip, hashlib, json, pathlib, shutil, sys
layout, base, changes, *tars = sys.argv[1:]
layout = pathlib.Path(layout)
shutil.copytree(base, layout, dirs_exist_ok = True)
def write(data, kind):
    digest = hashlib.sha256(data).hexdigest()
    (layout / "blobs/sha256" / digest).write_bytes(data)
    return {"mediaType": "application/vnd.oci.image." + kind, "digest": "sha256:" + digest, "size": len(data)}
def read(descriptor):
    return json.loads((layout / "blobs" / descriptor["digest"].replace(":", "/")).read_bytes())
manifest = read(json.loads((layout / "index.json").read_bytes())["manifests"][0])
config = read(manifest["config"])
config["config"].update(json.loads(changes))
for tar in tars:
    data = pathlib.Path(tar).read_bytes()
    manifest["layers"].append(write(data, "layer.v1.tar+gzip"))
    config["rootfs"]["diff_ids"].append("sha256:" + hashlib.sha256(gzip.decompress(data)).hexdigest())
config.pop("history", None)
manifest["config"] = write(json.dumps(config).encode(), "config.v1+json")
index = {"schemaVersion": 2, "manifests": [write(json.dumps(manifest).encode(), "manifest.v1+json")]}
(layout / "index.json").unlink()
(layout / "index.json").write_text(json.dumps(index))
"""

oci_image = rule(
    implementation = _oci_image_impl,
    attrs = {
        "base": attr.label(allow_files = True, mandatory = True),
        "entrypoint": attr.string_list(),
        "tars": attr.label_list(allow_files = True),
    },
)
