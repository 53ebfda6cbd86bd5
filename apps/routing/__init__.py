"""Turn a call into a stream of chunks, at the best place, and say why."""
