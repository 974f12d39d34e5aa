"""What `python -m worker new` writes: a whole job, move-crates, that becomes the one that was asked for by its name."""
