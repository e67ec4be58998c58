package main

import (
	"fmt"
	"log"
	"os"
	"syscall"
)

func main() {
	socket, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_DGRAM, 0)
	if err != nil {
		log.Fatal(err)
	}
	// Needs net_admin.
	if err := syscall.SetsockoptInt(socket, syscall.SOL_SOCKET, syscall.SO_RCVBUFFORCE, 1<<26); err != nil {
		log.Fatal(err)
	}
	fmt.Println("a receive buffer of 64 MiB as uid", os.Getuid())
}
