"""Figures of the past: what is asked, how it is counted, and what reports say of it."""
