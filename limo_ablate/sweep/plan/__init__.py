"""`limo-ablate plan`: what a study would run, take, fit in and be able to see; and its budget."""
