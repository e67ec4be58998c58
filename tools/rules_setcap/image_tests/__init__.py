"""The checks that the test rules run."""
