"""Training: losses, metrics and outputs of a task, for Keras."""
