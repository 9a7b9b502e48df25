"""Pools, benchmarks and selections: from files and hub data sets to training rows. Imports no torch."""
