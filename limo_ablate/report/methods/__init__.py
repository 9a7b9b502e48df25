"""The methods section, and references to cite."""
