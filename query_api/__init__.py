"""Answers questions from the read models; its database role can only SELECT."""
