"""Turns events into the rows of the read models."""
