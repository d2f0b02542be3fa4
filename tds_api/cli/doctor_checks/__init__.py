"""The checks of `tds doctor`."""
