"""Building blocks: embedding, experts, expert selection, and the two layers made of them."""
