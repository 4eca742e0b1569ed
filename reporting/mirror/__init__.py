"""The mirror of the provider's call records: read, compared, and read back."""
