"""Output for readers. Renders results; computes no statistics."""
