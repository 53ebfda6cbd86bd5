"""How an answer is made: claim, lease, gate, stream, finish. `pipeline` tells the whole story, top to bottom."""
