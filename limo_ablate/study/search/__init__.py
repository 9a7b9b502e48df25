"""Adaptive designs: a sampler, rebuilt from the ledger's rows, proposes trials; a pruner ends some early."""
