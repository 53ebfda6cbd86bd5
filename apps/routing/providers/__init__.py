"""Wire adapters, one file each: a request becomes chunks, and every way it can fail becomes one of `errors`."""
