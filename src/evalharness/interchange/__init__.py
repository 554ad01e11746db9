"""Other formats: results of other harnesses in, our runs out. Reads and writes the store; computes no statistics."""
