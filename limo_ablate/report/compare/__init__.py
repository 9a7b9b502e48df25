"""Comparison of two trials or cells (`compare`), and why a trial would be run (`why`)."""
