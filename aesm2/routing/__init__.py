"""What a trained model does: traces of rows, and who uses which experts."""
