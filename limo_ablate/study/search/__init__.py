"""Adaptive designs: a sampler made anew from the ledger's rows proposes cells; a pruner ends some."""
