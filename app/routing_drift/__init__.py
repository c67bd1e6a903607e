"""The page Routing drift."""
