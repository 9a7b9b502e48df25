"""A study as it runs: slots of this machine, trials in forks of a warm server, or jobs of Slurm.

Nothing of the training stack is imported here: a sweep with nothing left to do ends in about a second.
"""
