"""The bench: every figure beside its floor or ceiling, measured in the same run."""
