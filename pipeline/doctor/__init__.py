"""What of this machine and this installation works, and what to do about the rest: `condset doctor`."""
