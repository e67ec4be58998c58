// Writes tar headers with Go's archive/tar, for comparison.
//
// stdin: a JSON object per header; bytes (Name, Link, values of Records) are in base64.
// stdout: a line per object: the header in base64, or "error" and why.
package main

import (
	"archive/tar"
	"bufio"
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"log"
	"os"
	"time"
)

type entry struct {
	Name, Link        []byte
	Type              string // The type flag, one character.
	Mode, Size, Mtime int64  // Mtime in seconds since 1970.
	Uid, Gid          int
	Records           map[string][]byte // PAX records.
}

func header(e entry) ([]byte, error) {
	h := &tar.Header{
		Name:       string(e.Name),
		Linkname:   string(e.Link),
		Typeflag:   e.Type[0],
		Mode:       e.Mode,
		Uid:        e.Uid,
		Gid:        e.Gid,
		Size:       e.Size,
		ModTime:    time.Unix(e.Mtime, 0),
		PAXRecords: map[string]string{},
	}
	for key, value := range e.Records {
		h.PAXRecords[key] = string(value)
	}
	var out bytes.Buffer
	err := tar.NewWriter(&out).WriteHeader(h)
	return out.Bytes(), err
}

func main() {
	out := bufio.NewWriter(os.Stdout)
	defer out.Flush()
	decoder := json.NewDecoder(bufio.NewReader(os.Stdin))
	for decoder.More() {
		var e entry
		if err := decoder.Decode(&e); err != nil {
			log.Fatal(err)
		}
		data, err := header(e)
		if err != nil {
			fmt.Fprintln(out, "error", err)
			continue
		}
		fmt.Fprintln(out, base64.StdEncoding.EncodeToString(data))
	}
}
