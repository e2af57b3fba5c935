"""The command line: `main` finds the command, one file per noun runs it."""
