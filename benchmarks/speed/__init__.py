"""How fast: every task beside its peers and the machine's ceilings."""
