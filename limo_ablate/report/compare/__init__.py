"""Two trials or cells side by side (`compare`), and why a cell would be run (`why`)."""
