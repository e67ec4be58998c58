// Lists tars with Go's archive/tar, as container engines read them.
//
// stdin: tars, as JSON strings in base64.
// stdout: a JSON object for each, on a line; bytes are in base64.
package main

import (
	"archive/tar"
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"os"
)

type entry struct {
	Name, Link         []byte
	Type               string // The type flag, one character.
	Mode, Size         int64
	Uid, Gid           int
	Mtime              string // Seconds since 1970, with nanoseconds.
	Devmajor, Devminor int64
	Offset             int64             // Of the content, in bytes; of a sparse file, after a map in the content.
	Content            string            // SHA-256, in hex.
	Records            map[string][]byte // All PAX records.
}

type archive struct {
	Error   string
	Entries []entry // Those before the error.
}

// counter hides that a reader can seek, and counts what was read.
type counter struct {
	reader io.Reader
	count  int64
}

func (c *counter) Read(b []byte) (int, error) {
	n, err := c.reader.Read(b)
	c.count += int64(n)
	return n, err
}

func list(data []byte) (found archive) {
	stream := &counter{reader: bytes.NewReader(data)}
	reader := tar.NewReader(stream)
	found.Entries = []entry{}
	for {
		h, err := reader.Next()
		if errors.Is(err, io.EOF) {
			return found
		}
		if err != nil {
			found.Error = err.Error()
			return found
		}
		e := entry{
			Name:     []byte(h.Name),
			Link:     []byte(h.Linkname),
			Type:     string(rune(h.Typeflag)),
			Mode:     h.Mode,
			Size:     h.Size,
			Uid:      h.Uid,
			Gid:      h.Gid,
			Mtime:    fmt.Sprintf("%d.%09d", h.ModTime.Unix(), h.ModTime.Nanosecond()),
			Devmajor: h.Devmajor,
			Devminor: h.Devminor,
			Offset:   stream.count,
			Records:  map[string][]byte{},
		}
		for key, value := range h.PAXRecords {
			e.Records[key] = []byte(value)
		}
		// A sparse file may claim to be of any size.
		content := sha256.New()
		if h.Size < 1<<28 {
			if _, err := io.Copy(content, reader); err != nil {
				found.Error = err.Error()
				return found
			}
		}
		e.Content = fmt.Sprintf("%x", content.Sum(nil))
		found.Entries = append(found.Entries, e)
	}
}

func main() {
	tars, buffered := json.NewDecoder(bufio.NewReaderSize(os.Stdin, 1<<20)), bufio.NewWriter(os.Stdout)
	out := json.NewEncoder(buffered)
	for {
		var data []byte
		if err := tars.Decode(&data); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			log.Fatal(err)
		}
		if err := out.Encode(list(data)); err != nil {
			log.Fatal(err)
		}
	}
	if err := buffered.Flush(); err != nil {
		log.Fatal(err)
	}
}
