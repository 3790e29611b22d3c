"""The docs' pictures."""
