// Writes a layer as ko does, with Go's archive/tar, to stdout.
//
//	kolayer binary FILE NAME XATTR   the binary's: /ko-app/NAME; XATTR in hex, or empty
//	kolayer kodata DIRECTORY MTIME   that of the static files: /var/run/ko; MTIME in seconds since 1970
package main

import (
	"archive/tar"
	"encoding/hex"
	"io/fs"
	"log"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

const mode = 0o555

func must(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

func directory(w *tar.Writer, name string, mtime time.Time) {
	must(w.WriteHeader(&tar.Header{Name: name, Typeflag: tar.TypeDir, Mode: mode, ModTime: mtime}))
}

func file(w *tar.Writer, name, source string, mtime time.Time, records map[string]string) {
	data, err := os.ReadFile(source)
	must(err)
	must(w.WriteHeader(&tar.Header{
		Name: name, Typeflag: tar.TypeReg, Mode: mode, Size: int64(len(data)), ModTime: mtime, PAXRecords: records,
	}))
	_, err = w.Write(data)
	must(err)
}

func main() {
	w := tar.NewWriter(os.Stdout)
	switch os.Args[1] {
	case "binary":
		value, err := hex.DecodeString(os.Args[4])
		must(err)
		records := map[string]string{}
		if len(value) > 0 {
			records["SCHILY.xattr.security.capability"] = string(value)
		}
		directory(w, "ko-app", time.Time{})
		file(w, "/ko-app/"+os.Args[3], os.Args[2], time.Time{}, records)
	case "kodata":
		root := os.Args[2]
		seconds, err := strconv.ParseInt(os.Args[3], 10, 64)
		must(err)
		mtime := time.Unix(seconds, 0)
		for _, parent := range []string{"/var", "/var/run", "/var/run/ko"} {
			directory(w, parent, mtime)
		}
		must(filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
			must(err)
			name := "/var/run/ko" + strings.TrimPrefix(path, root)
			if path == root {
				return nil
			}
			if entry.IsDir() {
				directory(w, name, mtime)
			} else {
				file(w, name, path, mtime, nil)
			}
			return nil
		}))
	}
	must(w.Close())
}
