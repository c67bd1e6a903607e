"""Search logs whose truth is known: planted factors, calibrated to the paper's Tables 1 and 2."""
