"""Whether something is wrong with the runs: scores, lengths, training, slots, selections, failures."""
