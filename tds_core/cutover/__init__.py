"""Cutover: TDS takes the place of an old sync: daily comparison with its tables, promotion, and the way back."""
