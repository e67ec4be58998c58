// Compresses a file as umoci does: with pgzip, at its default level, and computes diff_id and digest meanwhile.
//
// Usage: pgzip SOURCE OUTPUT, or pgzip SOURCE to compute diff_id alone
package main

import (
	"crypto/sha256"
	"fmt"
	"io"
	"os"
	"runtime"

	"github.com/klauspost/pgzip"
)

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "pgzip:", err)
		os.Exit(1)
	}
}

func main() {
	source, err := os.Open(os.Args[1])
	check(err)
	diffID, digest := sha256.New(), sha256.New()
	buffer := make([]byte, 1<<20)
	if len(os.Args) == 2 {
		_, err = io.CopyBuffer(diffID, struct{ io.Reader }{source}, buffer)
		check(err)
		fmt.Printf("%x\n", diffID.Sum(nil))
		return
	}
	output, err := os.Create(os.Args[2])
	check(err)
	compressor := pgzip.NewWriter(io.MultiWriter(output, digest))
	// oci/casext/blobcompress/gzip.go of umoci has these numbers.
	check(compressor.SetConcurrency(256<<10, 2*runtime.NumCPU()))
	_, err = io.CopyBuffer(io.MultiWriter(compressor, diffID), struct{ io.Reader }{source}, buffer)
	check(err)
	check(compressor.Close())
	check(output.Close())
	fmt.Printf("%x %x\n", diffID.Sum(nil), digest.Sum(nil))
}
