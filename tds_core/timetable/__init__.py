"""The timetable: which slots are due, who takes them, and what happened to them."""
