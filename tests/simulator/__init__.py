"""The stand-in for Sautikit, held to the provider's contract."""
