"""How fast: every task compared with other libraries and with the machine's limits."""
