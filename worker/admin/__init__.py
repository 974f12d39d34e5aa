"""Start and watch runs over HTTP: POST /admin/<job>."""
