"""Answers that were given before: found again by the same prompt (`exact`) or by one of the same meaning (`semantic`).

`key` says what makes two prompts the same, `entry` what is kept of an answer, and which answers are kept at all.
"""
