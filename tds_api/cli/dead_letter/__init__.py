"""The commands of `tds dead-letter`."""
