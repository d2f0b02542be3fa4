"""`tds compare` and `tds verify statement`: compare the mirror with its source, repair what differs, check proofs."""
