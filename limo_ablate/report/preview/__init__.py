"""`limo-ablate select`: a selection before anything trains: counts, distributions, pictures, a manifest."""
