"""What a container runtime is told, and what its processes can do."""
