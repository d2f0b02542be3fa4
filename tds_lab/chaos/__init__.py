"""`tds chaos`: all of TDS under edits while everything dies, freezes or forgets; then every promise is checked."""
