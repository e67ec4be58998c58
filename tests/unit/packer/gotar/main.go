// gotar writes tars with Go's archive/tar, for the packer's bytes to be compared with.
//
// Each line of stdin is a JSON list of headers: one archive. For each archive,
// stdout gets its length as 8 bytes, big-endian, and then its bytes.
package main

import (
	"archive/tar"
	"bufio"
	"bytes"
	"encoding/binary"
	"encoding/json"
	"log"
	"os"
	"time"
)

type entry struct {
	Name    []byte            // All []byte are base64 in JSON.
	Link    []byte
	Type    string            // The type flag, one character.
	Mode    int64
	Uid     int
	Gid     int
	Size    int64             // Of the header; with Content, its length.
	Mtime   int64             // Seconds since 1970.
	Records map[string][]byte // PAX records.
	Content []byte
	Bare    bool              // The header alone, for sizes that no test writes.
}

func archive(entries []entry) ([]byte, error) {
	var out bytes.Buffer
	writer := tar.NewWriter(&out)
	for _, each := range entries {
		header := &tar.Header{
			Name:     string(each.Name),
			Linkname: string(each.Link),
			Typeflag: each.Type[0],
			Mode:     each.Mode,
			Uid:      each.Uid,
			Gid:      each.Gid,
			Size:     each.Size,
			ModTime:  time.Unix(each.Mtime, 0),
		}
		if len(each.Records) > 0 {
			header.PAXRecords = map[string]string{}
			for key, value := range each.Records {
				header.PAXRecords[key] = string(value)
			}
		}
		if err := writer.WriteHeader(header); err != nil {
			return nil, err
		}
		if each.Bare {
			return out.Bytes(), nil
		}
		if _, err := writer.Write(each.Content); err != nil {
			return nil, err
		}
	}
	return out.Bytes(), writer.Close()
}

func main() {
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(nil, 1<<28)
	stdout := bufio.NewWriter(os.Stdout)
	defer stdout.Flush()
	for lines.Scan() {
		var entries []entry
		if err := json.Unmarshal(lines.Bytes(), &entries); err != nil {
			log.Fatal(err)
		}
		data, err := archive(entries)
		if err != nil {
			log.Fatalf("%v: %s", err, lines.Bytes())
		}
		binary.Write(stdout, binary.BigEndian, int64(len(data)))
		stdout.Write(data)
	}
	if err := lines.Err(); err != nil {
		log.Fatal(err)
	}
}
