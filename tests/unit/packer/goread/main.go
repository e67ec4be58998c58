// Reads tars with Go's archive/tar, as container engines do, and writes them again with it.
//
// stdin: paths of tars, or of tars in gzip, as JSON strings.
// stdout: a JSON object for each, on a line; bytes are in base64.
package main

import (
	"archive/tar"
	"bufio"
	"compress/gzip"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"os"
	"strings"
	"time"
)

type entry struct {
	Name, Link        []byte
	Type              string // The type flag, one character.
	Mode, Size, Mtime int64  // Mtime in seconds since 1970.
	Uid, Gid          int
	Content           string            // SHA-256, in hex.
	Records           map[string][]byte // All PAX records.
}

type archive struct {
	Error     string
	Entries   []entry
	Tar       string // SHA-256 of the tar, up to the last byte of the file.
	Rewritten string // That of the tar that Writer makes of the entries.
}

// written is the header of an entry for Writer: nothing of how the reader came to know it.
func written(h *tar.Header) *tar.Header {
	attributes := map[string]string{}
	for key, value := range h.PAXRecords {
		if strings.HasPrefix(key, "SCHILY.xattr.") {
			attributes[key] = value
		}
	}
	return &tar.Header{
		Name:       h.Name,
		Linkname:   h.Linkname,
		Typeflag:   h.Typeflag,
		Mode:       h.Mode,
		Uid:        h.Uid,
		Gid:        h.Gid,
		Size:       h.Size,
		ModTime:    time.Unix(h.ModTime.Unix(), 0),
		PAXRecords: attributes,
	}
}

func read(path string) (found archive, err error) {
	file, err := os.Open(path)
	if err != nil {
		return found, err
	}
	defer file.Close()
	buffered := bufio.NewReader(file)
	var stream io.Reader = buffered
	if start, _ := buffered.Peek(2); string(start) == "\x1f\x8b" {
		if stream, err = gzip.NewReader(buffered); err != nil {
			return found, err
		}
	}
	all, again := sha256.New(), sha256.New()
	stream = io.TeeReader(stream, all)
	reader, writer := tar.NewReader(stream), tar.NewWriter(again)
	found.Entries = []entry{}
	for {
		h, err := reader.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return found, err
		}
		if h.ModTime.Nanosecond() != 0 || h.Uname != "" || h.Gname != "" || h.Devmajor != 0 || h.Devminor != 0 {
			return found, fmt.Errorf("%q: parts of a second, a name of an owner or the number of a device", h.Name)
		}
		if err := writer.WriteHeader(written(h)); err != nil {
			return found, fmt.Errorf("%q, written again: %w", h.Name, err)
		}
		content := sha256.New()
		if _, err := io.Copy(io.MultiWriter(content, writer), reader); err != nil {
			return found, err
		}
		e := entry{
			Name:    []byte(h.Name),
			Link:    []byte(h.Linkname),
			Type:    string(h.Typeflag),
			Mode:    h.Mode,
			Size:    h.Size,
			Mtime:   h.ModTime.Unix(),
			Uid:     h.Uid,
			Gid:     h.Gid,
			Content: fmt.Sprintf("%x", content.Sum(nil)),
			Records: map[string][]byte{},
		}
		for key, value := range h.PAXRecords {
			e.Records[key] = []byte(value)
		}
		found.Entries = append(found.Entries, e)
	}
	if _, err := io.Copy(io.Discard, stream); err != nil {
		return found, err
	}
	if err := writer.Close(); err != nil {
		return found, err
	}
	found.Tar, found.Rewritten = fmt.Sprintf("%x", all.Sum(nil)), fmt.Sprintf("%x", again.Sum(nil))
	return found, nil
}

func main() {
	paths, out := json.NewDecoder(os.Stdin), json.NewEncoder(os.Stdout)
	for {
		var path string
		if err := paths.Decode(&path); errors.Is(err, io.EOF) {
			return
		} else if err != nil {
			log.Fatal(err)
		}
		found, err := read(path)
		if err != nil {
			found.Error = err.Error()
		}
		if err := out.Encode(found); err != nil {
			log.Fatal(err)
		}
	}
}
