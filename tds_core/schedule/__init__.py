"""The timetable: jobs, their slots, and what operators order."""
