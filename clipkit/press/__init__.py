"""The press: running and recording notebooks, the ledger, the site. The command line is `clipkit.press.cli`."""
