"""What the worker's speed is measured by, side by side with what else could be written: `make bench`."""
