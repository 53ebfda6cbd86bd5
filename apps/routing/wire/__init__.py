"""The dialects of the stateless doors, one module each: `read` makes a body what is asked for, a `Writer` makes chunks
the dialect's answer, `error_document` a problem its error. Pure: no Django, nothing is fetched."""
