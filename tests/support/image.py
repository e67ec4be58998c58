"""Makes images by hand, with any capabilities on any file."""

from __future__ import annotations

import hashlib
import io
import json
import pathlib
import tarfile
from typing import Any

RECORD = "SCHILY.xattr.security.capability"


def tar(*entries: tuple[Any, ...]) -> bytes:
    """Returns a tar.

    Args:
      *entries: path, capabilities (FileCapabilities, the bytes of the attribute, or None) and kind: "file", "directory",
        a hard link ("=/x"), a symbolic link (">x"), or else the content of a file, as text or bytes. A dict may follow, with
        attributes of tarfile.TarInfo; the default is mode 0755, and uid and gid 0.
    """
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for path, value, kind, *more in entries:
            info = tarfile.TarInfo(path.strip("/"))
            info.mode = 0o755
            for name, attribute in more[0].items() if more else ():
                setattr(info, name, attribute)
            if value is not None:
                data = value if isinstance(value, bytes) else value.to_xattr()
                info.pax_headers[RECORD] = data.decode("utf-8", "surrogateescape")  # tarfile writes the same bytes.
            content = b""
            if isinstance(kind, bytes):
                content = kind
                info.size = len(content)
            elif kind == "directory":
                info.type = tarfile.DIRTYPE
            elif kind.startswith("="):
                info.type, info.linkname = tarfile.LNKTYPE, kind[2:]
            elif kind.startswith(">"):
                info.type, info.linkname = tarfile.SYMTYPE, kind[1:]
            elif kind != "file":
                content = kind.encode()
                info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return made.getvalue()


def layout(directory: pathlib.Path, *layers: bytes, **config: object) -> pathlib.Path:
    """Makes an OCI layout with one image for linux/amd64.

    Args:
      directory: the directory, which does not exist yet.
      *layers: the layers, uncompressed, from the lowest to the highest.
      **config: fields of `config` in the image's config, such as Entrypoint.

    Returns:
      The directory.
    """
    blobs = directory / "blobs/sha256"
    blobs.mkdir(parents=True)

    def put(data: bytes, kind: str) -> dict[str, object]:
        digest = hashlib.sha256(data).hexdigest()
        (blobs / digest).write_bytes(data)
        return {"mediaType": f"application/vnd.oci.image.{kind}", "digest": "sha256:" + digest, "size": len(data)}

    diff_ids = ["sha256:" + hashlib.sha256(layer).hexdigest() for layer in layers]
    image_config = {"os": "linux", "architecture": "amd64", "config": config, "rootfs": {"type": "layers", "diff_ids": diff_ids}}
    manifest = {
        "schemaVersion": 2,
        "config": put(json.dumps(image_config).encode(), "config.v1+json"),
        "layers": [put(layer, "layer.v1.tar") for layer in layers],
    }
    index = {"schemaVersion": 2, "manifests": [put(json.dumps(manifest).encode(), "manifest.v1+json")]}
    (directory / "index.json").write_text(json.dumps(index))
    (directory / "oci-layout").write_text('{"imageLayoutVersion":"1.0.0"}')
    return directory
