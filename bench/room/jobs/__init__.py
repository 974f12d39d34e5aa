"""Jobs that do as little as can be, so that what is measured is the worker."""
