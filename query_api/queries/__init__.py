"""The questions, as SQL over the live generation. `{g}` stands for its schema."""
