"""Where records come from: one file a kind of source."""
