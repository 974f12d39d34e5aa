"""The kill-anywhere kit: what a job's author has their job survive, in their own tests (docs/testing.md)."""
