"""What has become of each trial, for all runners: rows, leases of the living, the queue of what is left."""
