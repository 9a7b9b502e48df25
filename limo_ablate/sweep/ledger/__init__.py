"""What has become of each cell, for all runners: rows, leases of the living, the queue of what is left."""
