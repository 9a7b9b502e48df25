"""limo-ablate: what made the difference when a few hundred examples were enough."""
