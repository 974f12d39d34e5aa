"""Where the measured worker runs: its `jobs` folder is the one in here."""
