"""The small base model of drawn scenes that condset ships, and how it is made."""
