"""What `rosac bus` does: look at a bus, judge it, measure it, and change servos one at a time. Nothing here prints."""
