"""Admit, reserve, settle: what a call may cost, what it did cost, and the ledger that proves it."""
