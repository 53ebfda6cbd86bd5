"""The gateway beside what people would use instead: the same calls, the same upstream, the same load generator."""
