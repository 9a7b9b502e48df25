"""One trial, from pool to scores."""
