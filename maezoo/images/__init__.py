"""Image-likes to model input."""
