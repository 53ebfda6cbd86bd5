"""Calls that are answered while their caller waits, and kept nowhere: the engine of the compatible doors."""
