"""The differences between two images, in the terms of images; the command image_diff prints them."""
