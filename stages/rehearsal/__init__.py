"""How does a plug-in, or condset itself, fare where storage and the web fail? Doubles of both that fail on cue."""
