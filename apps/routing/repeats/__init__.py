"""Answers of calls that came with an idempotency key: told again, word for word, to whoever sends the key again."""
