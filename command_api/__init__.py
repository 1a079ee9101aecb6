"""Accepts commands, decides them and appends their events to the log."""
