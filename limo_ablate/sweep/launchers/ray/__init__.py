"""Trials as tasks on the nodes of a Ray cluster."""
