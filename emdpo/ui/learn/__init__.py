"""The Learn page: figures that compute what they show, for classrooms."""
