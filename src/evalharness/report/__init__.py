"""What a reader sees. Renders; computes no statistics."""
