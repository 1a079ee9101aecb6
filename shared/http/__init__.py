"""Conventions of HTTP that both APIs keep: problems, limits, negotiation, documentation, operations."""
