"""Generations of the read models: made beside the live one, filled, verified, switched to, rolled back, and dropped."""
