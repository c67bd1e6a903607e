"""Training: one visible loop, and the folder it writes."""
