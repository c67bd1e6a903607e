"""Pure functions from results to plotly figures; usable in a notebook as in the app."""
