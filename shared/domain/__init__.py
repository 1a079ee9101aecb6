"""Pure rules: names, days and streaks. Nothing here reads a clock, a file of ours or a database."""
