"""The timetable: scheduled jobs, their slots, and the operations of operators."""
