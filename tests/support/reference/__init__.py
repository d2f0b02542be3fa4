"""Makes the pages of `docs/reference` from what they describe: `make reference`."""
