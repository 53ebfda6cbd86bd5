"""Secrets at rest: text sealed with AES-GCM under named keys, and digests of API keys. No tables."""
