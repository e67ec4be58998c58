"""The command imagecap: lists, sets, explains, reviews and compares the file capabilities of images."""
