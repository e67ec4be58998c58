"""Asks for a receive buffer that is larger than the system allows."""

import os
import socket

SO_RCVBUFFORCE = 33  # Needs net_admin.

with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
    sock.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 1 << 26)
print("a receive buffer of 64 MiB as uid", os.getuid())
