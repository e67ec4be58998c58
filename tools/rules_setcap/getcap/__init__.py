"""Listing, explaining and reviewing the file capabilities of images."""
