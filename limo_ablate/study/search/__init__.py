"""Adaptive designs: a sampler made anew from the ledger's rows proposes trials; a pruner ends some."""
