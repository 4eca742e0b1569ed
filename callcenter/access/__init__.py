"""Who gets in: signing in, its throttling, and the second factor."""
