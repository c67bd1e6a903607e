"""From a table to a Batch: description, dataset, history, encoder."""
