"""Looking at logs of any size: parts, mergeable summaries, three engines with the same numbers."""
