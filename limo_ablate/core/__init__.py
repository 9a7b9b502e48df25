"""What every other package uses: artifacts, typed data, overrides, errors. Imports nothing of ours."""
