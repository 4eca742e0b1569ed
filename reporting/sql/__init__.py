"""What other programs read: the views in the schema `reports`."""
