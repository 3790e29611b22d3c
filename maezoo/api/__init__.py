"""What a user holds: models by name, and what they give."""
