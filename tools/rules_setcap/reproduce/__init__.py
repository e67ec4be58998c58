"""The command `reproduce`: builds images twice, in different surroundings, and finds the action that made them differ."""
