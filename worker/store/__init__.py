"""Where runs, attempts, cursors, leases and dead letters are kept."""
