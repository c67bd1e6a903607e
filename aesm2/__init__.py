"""AESM²: automatic expert selection for multi-scenario and multi-task ranking."""
