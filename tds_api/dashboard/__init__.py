"""The dashboard: figures for those who operate TDS."""
