"""The receiving side: know repeats, commit to a sink, receipt; and the ledger that must close."""
