"""What the task knows of itself on ECS, and what surrounds it there."""
