"""How good features and reconstructions are."""
