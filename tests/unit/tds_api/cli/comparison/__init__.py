"""What `tds compare` prints."""
