"""How dates and times are written where Django writes them, as in the administrations: the day first, 24 hours."""
