"""The Markdown library: needs no database, and tests what a reader or an attacker would see."""
