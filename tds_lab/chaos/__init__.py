"""`tds chaos`: runs all of TDS under edits and faults, then checks every invariant."""
