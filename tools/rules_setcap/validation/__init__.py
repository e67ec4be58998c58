"""Checks of the programs that have file capabilities."""
