"""AWS Lambda entry points: `worker.functions.<name>.handler`."""
