"""What capability_test and kubernetes_test find out about an image."""
