"""A study: declared (design), unfolded (cells), recorded (ledger), run side by side (slots, worker, runner).

Nothing of the training stack is imported here: a sweep with nothing left to do ends in about a second.
"""
