"""Our encoders in timm's registry."""
