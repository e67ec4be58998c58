"""The checks of the test rules capability_test, digest_test and kubernetes_test."""
