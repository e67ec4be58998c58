"""The command getcap: lists, explains and reviews the file capabilities of images."""
