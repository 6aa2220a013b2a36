"""The Collect page, for whoever opens a room: participants have a small page of their own."""
