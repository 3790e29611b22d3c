"""Measurements of speed, quality and reliability, and the pictures of the docs. Each package says what it measures."""
