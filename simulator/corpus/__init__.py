"""What the models say: questions read, knowledge cards found, voices speaking."""
