chmod +x tools/status.sh
