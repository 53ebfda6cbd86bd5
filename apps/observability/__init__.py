"""What a running installation tells about itself: logs, their context, metrics and timings. No tables.

Prompts, answers and secrets are never told: `redaction` stands before every log handler but that of `lines`, whose
callers name each field, and metric labels come from short, closed lists.
"""
