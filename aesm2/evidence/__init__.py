"""Evidence: what predictions, transfers and simulated worlds say, as honest tables."""
