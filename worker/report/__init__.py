"""State in, words out: terminal, logs, Slack, Datadog."""
