"""Training: what Keras has to be told of a task."""
