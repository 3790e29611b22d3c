"""What is known of each weight."""
