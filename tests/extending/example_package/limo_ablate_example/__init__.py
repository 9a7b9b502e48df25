"""One entry for each registry of limo-ablate that is open to other packages: docs/extending.md."""
