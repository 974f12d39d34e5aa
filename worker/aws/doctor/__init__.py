"""Find what hurts at night in a job, its task definition, the stacks and the environment: `python -m worker doctor`."""
