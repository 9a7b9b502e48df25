"""Where a sweep's trials run, other than on this machine."""
