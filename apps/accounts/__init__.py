"""People: who signs in, and with what. Knows no tenant."""
