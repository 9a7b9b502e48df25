"""Artifacts in a store at a URL."""
